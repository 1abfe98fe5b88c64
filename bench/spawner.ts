import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A program and its arguments. */
export type Words = readonly [file: string, ...args: readonly string[]]

/** What somebody does by hand: programs one after another, and those that undo it. */
export interface ByHand {
  readonly act: readonly Words[]
  readonly undo: readonly Words[]
}

/** What the process answers: milliseconds, or why it failed. */
export type Answer = { readonly took: number } | { readonly error: string }

/**
 * Runs programs by hand in a process that does nothing else: a fork takes the longer the more memory its parent has, and ours grows with the calls that
 * it times.
 */
export class Spawner implements Disposable {
  readonly #child: ChildProcess = fork(fileURLToPath(new URL('spawning.ts', import.meta.url)))

  /** Milliseconds that `act` takes; `undo` is not timed. Rejects if a program fails. */
  async timed(work: ByHand): Promise<number> {
    this.#child.send(work)
    const [answer] = (await once(this.#child, 'message')) as [Answer]
    if ('error' in answer) throw new Error(answer.error)
    return answer.took
  }

  [Symbol.dispose](): void {
    this.#child.disconnect()
  }
}
