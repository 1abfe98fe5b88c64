import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A program and its arguments. */
export type Words = readonly [file: string, ...args: readonly string[]]

/** What somebody does by hand: programs one after another, and those that undo it; then the daemons that the first have left have ended. */
export interface ByHand {
  readonly act: readonly Words[]
  readonly undo: readonly Words[]
}

/** Milliseconds that it takes to do something and to undo it. */
export interface Life {
  readonly act: number
  readonly undo: number
}

/** What the process is asked: each on its own, all at the same moment. */
export type Question = readonly ByHand[]

/** What the process answers: the life of each and the time of all together, or why one failed. */
export type Answer = { readonly lives: readonly Life[]; readonly all: number } | { readonly error: string }

/**
 * Runs programs by hand in a process that does nothing else: a fork takes the longer the more memory its parent has, and ours grows with the calls that
 * it times.
 */
export class Spawner implements Disposable {
  readonly #child: ChildProcess = fork(fileURLToPath(new URL('spawning.ts', import.meta.url)))

  /** Does and undoes one thing. Rejects if a program fails. */
  async life(work: ByHand): Promise<Life> {
    const { lives } = await this.#ask([work])
    const [life] = lives
    if (life === undefined) throw new Error('the spawner has not answered for its work')
    return life
  }

  /** Milliseconds that `act` takes; `undo` is not timed. Rejects if a program fails. */
  async timed(work: ByHand): Promise<number> {
    return (await this.life(work)).act
  }

  /** Milliseconds until all that begin at the same moment are done and undone. Rejects if a program fails. */
  async atOnce(work: readonly ByHand[]): Promise<number> {
    return (await this.#ask(work)).all
  }

  async #ask(question: Question): Promise<Exclude<Answer, { error: string }>> {
    this.#child.send(question)
    const [answer] = (await once(this.#child, 'message')) as [Answer]
    if ('error' in answer) throw new Error(answer.error)
    return answer
  }

  [Symbol.dispose](): void {
    this.#child.disconnect()
  }
}
