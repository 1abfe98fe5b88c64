import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { NodeAgent } from '../lab/agent/agent.ts'
import type { AgentRequest } from '../lab/agent/protocol.ts'
import { AddonLoader } from '../os/addons.ts'
import { Libc } from '../os/libc.ts'
import { absolute } from './absolute.ts'
import { commandLine, parse } from './command-line.ts'
import type { Program } from './program.ts'

/**
 * dummy-fuse-csi lab-agent: what acts on a node of a cluster for the lab. Takes requests from standard input (lab/agent/protocol.ts), and ends with it: then
 * nothing that it has stopped stays stopped.
 */
export const labAgent: Program = async ({ args }) => {
  const command = commandLine(
    'dummy-fuse-csi lab-agent',
    'Acts on a node of a cluster for dummy-fuse-csi lab run --cluster.',
  ).requiredOption('--kubelet-dir <folder>', "the kubelet's root folder")
  parse(command, args)
  const { kubeletDir } = command.opts<{ kubeletDir: string }>()
  const scratch = mkdtempSync(join(tmpdir(), 'dummy-fuse-lab-'))
  const agent = new NodeAgent({ kubelet: absolute(kubeletDir), scratch }, new Libc(new AddonLoader()))
  const input = createInterface(process.stdin)
  input.on('line', (line) => {
    const tell = (answer: object): void => {
      process.stdout.write(`${JSON.stringify(answer)}\n`)
    }
    agent.answer(JSON.parse(line) as AgentRequest).then(tell, tell)
  })
  await new Promise((resolve) => {
    input.once('close', resolve)
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve)
  })
  agent.undo()
  return 0
}
