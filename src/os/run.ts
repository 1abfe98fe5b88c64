import { spawn } from 'node:child_process'

/** How a short-lived program ended. */
export interface RunResult {
  readonly kind: 'exited' | 'killed' | 'timeout'
  /** Of `exited`; else -1. */
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs a program with nothing on its standard input and gives it `deadline` milliseconds. Past them it is killed and left to itself:
 * a process that waits for a file system in state D takes SIGKILL only when its request is answered. Rejects if it cannot be started.
 */
export async function run(file: string, args: readonly string[], deadline: number): Promise<RunResult> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH, LC_ALL: 'C' } })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return await new Promise<RunResult>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      child.unref()
      child.stdout.destroy()
      child.stderr.destroy()
      resolve({ kind: 'timeout', status: -1, stdout, stderr })
    }, deadline)
    child.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.on('close', (status) => {
      clearTimeout(timer)
      resolve({ kind: status === null ? 'killed' : 'exited', status: status ?? -1, stdout, stderr })
    })
  })
}
