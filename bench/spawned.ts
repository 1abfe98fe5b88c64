import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** A program and its arguments. */
export type Words = readonly [file: string, ...args: readonly string[]]

/** What somebody does by hand: programs one after another, and those that undo it. */
export interface ByHand {
  readonly act: readonly Words[]
  readonly undo: readonly Words[]
}

/** Runs a program to its end. Rejects if it fails. */
export async function spawned([file, ...args]: Words): Promise<void> {
  const [status] = (await once(spawn(file, args, { stdio: 'ignore' }), 'exit')) as [number | null]
  if (status !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${status ?? 'a signal'}`)
}
