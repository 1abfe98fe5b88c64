import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** Runs a program to its end. Rejects if it fails. */
export async function spawned(file: string, args: readonly string[]): Promise<void> {
  const [status] = (await once(spawn(file, args, { stdio: 'ignore' }), 'exit')) as [number | null]
  if (status !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${status ?? 'a signal'}`)
}
