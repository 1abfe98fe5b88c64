import { spawn } from 'node:child_process'

/** How a short-lived program ended. */
export interface RunResult {
  readonly kind: 'exited' | 'killed' | 'timeout'
  /** Of `exited`; else -1. */
  readonly status: number
  readonly stdout: string
  readonly stderr: string
  /** Resolves when the process is gone. After a `timeout` that may take until the file system that it waits for answers. */
  readonly gone: Promise<void>
}

/** Where programs are looked for: our own PATH, and where they are on every Debian. */
function searchPath(): string {
  return [process.env.PATH ?? '', '/usr/bin', '/bin'].filter((folder) => folder !== '').join(':')
}

/** How often a program that does not wait for what it was asked for gets its time again. */
const MORE_TIMES = 4

/**
 * Runs a program with nothing on its standard input and gives it `deadline` milliseconds. Past them it is killed and left to itself:
 * a process that waits for a file system in state D takes SIGKILL only when its request is answered. Rejects if it cannot be started.
 *
 * `waits` tells whether a process waits for what it was asked for. On a busy machine one that does not has had no processor yet, or its answer
 * is here and not read: it gets its time again, some times, and is `killed` after that.
 */
export async function run(
  file: string,
  args: readonly string[],
  deadline: number,
  waits: (pid: number) => boolean = () => true,
): Promise<RunResult> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: searchPath(), LC_ALL: 'C' } })
  const { promise: gone, resolve: end } = Promise.withResolvers<undefined>()
  return await new Promise<RunResult>((resolve, reject) => {
    // Without a descriptor left (EMFILE) there is a child without streams, and the error comes later.
    const { stdout: out, stderr: err } = child as { stdout: typeof child.stdout | null; stderr: typeof child.stderr | null }
    let stdout = ''
    let stderr = ''
    out?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    err?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    let left = MORE_TIMES
    const onDeadline = (): void => {
      const waiting = waits(child.pid ?? 0)
      if (!waiting && left-- > 0) {
        timer = setTimeout(onDeadline, deadline)
        return
      }
      child.kill('SIGKILL')
      child.unref()
      out?.destroy()
      err?.destroy()
      resolve({ kind: waiting ? 'timeout' : 'killed', status: -1, stdout, stderr, gone })
    }
    let timer = setTimeout(onDeadline, deadline)
    child.on('error', (error) => {
      clearTimeout(timer)
      end(undefined)
      reject(error)
    })
    child.on('exit', () => {
      end(undefined)
    })
    child.on('close', (status) => {
      clearTimeout(timer)
      resolve({ kind: status === null ? 'killed' : 'exited', status: status ?? -1, stdout, stderr, gone })
    })
  })
}
