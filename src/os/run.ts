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

/**
 * Runs a program with nothing on its standard input and gives it `deadline` milliseconds. Past them it is killed and left to itself:
 * a process that waits for a file system in state D takes SIGKILL only when its request is answered. Rejects if it cannot be started.
 */
export async function run(file: string, args: readonly string[], deadline: number): Promise<RunResult> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH, LC_ALL: 'C' } })
  const { promise: gone, resolve: end } = Promise.withResolvers<undefined>()
  return await new Promise<RunResult>((resolve, reject) => {
    // Without a descriptor left (EMFILE) there is a child without streams, and the error comes later.
    const { stdout: out, stderr: err } = child as { stdout: typeof child.stdout | null; stderr: typeof child.stderr | null }
    let stdout = ''
    let stderr = ''
    out?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    err?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      child.unref()
      out?.destroy()
      err?.destroy()
      resolve({ kind: 'timeout', status: -1, stdout, stderr, gone })
    }, deadline)
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
