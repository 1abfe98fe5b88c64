import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { LONGEST_COMM } from '../../src/os/processes/processes.ts'
import { losesWrites } from '../../src/programs/shield/options.ts'
import { parseYaml } from '../../src/yaml.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { EXAMPLES } from '../support/program.ts'
import { CONTENT, type StorageServer } from '../support/program-storage.ts'
import type { Sandbox } from '../support/sandbox.ts'
import { type LabProgram, pathWith, storageOf } from './program.ts'

/** How the lab is run with each program. */
export interface LabChoice {
  /** `--fuse-host` of the plugin. */
  readonly host: 'child' | 'detached'
  /** Seconds for which a cell waits for a cure. */
  readonly watch: number
  /** Further arguments of `lab run`. */
  readonly words: readonly string[]
  /** The folder of the records and reports. */
  readonly out: string
}

/** A call of a program that has to reach a server and may repeat its attempts takes longer than the lab's usual three seconds. */
const CALL_SECONDS = 20

/**
 * Makes the storage of a program in the sandbox, with its server as a helper of each cell, and runs the lab with `serve --program` as the driver. Writes
 * NAME.json, NAME.html and NAME.md into the folder `out`. Resolves to the record; throws an Error with what the lab printed where there is none.
 */
export async function labOf(sandbox: Sandbox, program: LabProgram, choice: LabChoice): Promise<LabRecord> {
  const { host, watch, out, words } = choice
  const { parameters, secrets, mountFlags, server } = await storageOf(sandbox, program)
  const shielded = shieldedFile(sandbox, program)
  const driver = {
    name: program.name,
    start: [EXECUTABLE, ...serve(fileOf(program), host)],
    shield: { start: [EXECUTABLE, ...serve(shielded.path, 'detached')], readOnly: shielded.readOnly },
    env: { PATH: pathWith(sandbox, program), HOME: '{state}' },
    daemon: processesOf(program)[0],
    container: host === 'child' ? processesOf(program) : [],
    ...(server === undefined ? {} : { helpers: [await asHelper(server)] }),
    callTimeout: CALL_SECONDS,
    watch,
    volume: { id: program.name, staged: true, attributes: parameters ?? {}, secrets: secrets ?? {}, mountFlags: mountFlags ?? [] },
    file: 'f',
    content: CONTENT,
  }
  const file = join(sandbox.path, 'driver.yaml')
  writeFileSync(file, JSON.stringify(driver))
  const [json, html, markdown] = ['json', 'html', 'md'].map((kind) => join(out, `${program.name}.${kind}`)) as [
    string,
    string,
    string,
  ]
  const files = ['--json', json, '--report', html, '--markdown', markdown]
  // Two cells at once would slow each other down.
  const running = sandbox.start(EXECUTABLE, ['lab', 'run', '--driver', file, '--jobs', '1', ...files, ...words])
  running.child.stdout?.on('data', (text: string) => process.stdout.write(text))
  const { status, stderr } = await running.ended
  if (status !== 0 && status !== 4) throw new Error(`the lab ended with exit status ${String(status)}: ${stderr.trim()}`)
  return JSON.parse(readFileSync(json, 'utf8')) as LabRecord
}

/** `file`: of the program. */
function serve(file: string, host: LabChoice['host']): readonly string[] {
  const node = ['--endpoint', 'unix://{socket}', '--state-dir', '{state}/plugin', '--nodeid', '{node}']
  const program = ['--program', file, '--fuse-host', host, '--call-deadline', String(CALL_SECONDS)]
  return ['serve', ...node, ...program]
}

function fileOf({ file }: LabProgram): string {
  return join(EXAMPLES, `${file}.yaml`)
}

/** Writes the file of a program whose command is the shield with the program behind it. `readOnly`: whether the shield takes it read-only alone. */
function shieldedFile(sandbox: Sandbox, program: LabProgram): { readonly path: string; readonly readOnly: boolean } {
  const file = parseYaml(readFileSync(fileOf(program), 'utf8')) as { command: readonly string[]; needs?: readonly string[] }
  const { command, needs = [] } = file
  const readOnly = losesWrites(command) !== undefined
  const shield = [EXECUTABLE, 'shield', ...(readOnly ? ['--read-only'] : []), '{target}', '--']
  // The plugin fills in the shield's {target}, and the shield that of the program.
  const behind = command.map((word) => word.replaceAll('{target}', '{{target}}'))
  const path = join(sandbox.path, `shielded-${program.file}.yaml`)
  writeFileSync(path, JSON.stringify({ ...file, command: [...shield, ...behind], needs: [...needs, command[0]] }))
  return { path, readOnly }
}

/** Ends a server, which each cell starts on its node again. */
async function asHelper({ command, port, running }: StorageServer): Promise<object> {
  running.child.kill('SIGKILL')
  await running.ended
  return { name: 'storage', command, ready: `exec 3<> /dev/tcp/127.0.0.1/${port}`, belongs: 'node', storage: true }
}

/** Its processes as `ps -o comm` shows them, the one that serves FUSE first. A detached program outlives the plugin's container. */
function processesOf({ file }: LabProgram): readonly string[] {
  // sshfs reaches its server by ssh.
  return [file.slice(0, LONGEST_COMM), ...(file === 'sshfs' ? ['ssh'] : [])]
}
