import { ChildProgram } from './child-program.ts'
import { settledWithin } from './settled-within.ts'

/** How a short-lived program ended. */
export interface RunResult {
  readonly kind: 'exited' | 'killed' | 'timeout'
  /** Of `exited`; else -1. */
  readonly status: number
  readonly stdout: string
  readonly stderr: string
  /** Resolves when the process has ended. After a `timeout` that may take until the file system that it waits for answers. */
  readonly gone: Promise<void>
}

/** Where programs are looked for: our own PATH, and where they are on every Debian. */
function searchPath(): string {
  return [process.env.PATH ?? '', '/usr/bin', '/bin'].filter((folder) => folder !== '').join(':')
}

/** How often a program that does not wait for what it was asked for gets its time again. */
const MORE_TIMES = 4

/**
 * Runs a program with nothing on its standard input and gives it `deadline` milliseconds. Past them it is killed and not waited for:
 * SIGKILL ends a process that waits for a file system in state D only when its request is answered. Rejects if it cannot be started.
 *
 * `waits` tells whether a process waits for what it was asked for. If it does not, it has had no processor yet on a busy machine, or its answer
 * is not read yet: it gets its time again, {@link MORE_TIMES} times, and is `killed` after that.
 */
export async function run(
  file: string,
  args: readonly string[],
  deadline: number,
  waits: (pid: number) => boolean = () => true,
): Promise<RunResult> {
  const env = { PATH: searchPath(), LC_ALL: 'C' }
  const child = new ChildProgram({ file, args, stdio: ['ignore', 'pipe', 'pipe'], env })
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.setEncoding('utf8').on('data', (text: string) => (said[name] += text))
  const gone = child.ended.then(() => undefined)
  gone.catch(() => undefined)
  for (let times = 0; ; times++) {
    const end = await settledWithin(child.closed, deadline)
    if (end !== 'late') return { kind: end.status === null ? 'killed' : 'exited', status: end.status ?? -1, ...said, gone }
    const waiting = waits(child.pid)
    if (!waiting && times < MORE_TIMES) continue
    child.kill()
    child.abandon()
    return { kind: waiting ? 'timeout' : 'killed', status: -1, ...said, gone }
  }
}
