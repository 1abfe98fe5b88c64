import { setTimeout as sleep } from 'node:timers/promises'
import { unlessAborted } from '../call-context.ts'

/** A lock for each path: the second caller waits for the first. */
export class Paths {
  readonly #taken = new Map<string, Promise<void>>()

  /** Resolves once the path is free, and takes it until the result is disposed of. Rejects with the signal's reason; then it takes nothing. */
  async take(path: string, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted()
    for (let other = this.#taken.get(path); other !== undefined; other = this.#taken.get(path)) await unlessAborted(other, signal)
    const { promise, resolve } = Promise.withResolvers<undefined>()
    this.#taken.set(
      path,
      promise.then(() => undefined),
    )
    return {
      [Symbol.dispose]: () => {
        this.#taken.delete(path)
        resolve(undefined)
      },
    }
  }

  /** Resolves when no path is taken, at the latest after `deadline` milliseconds. */
  async idle(deadline: number): Promise<void> {
    await Promise.race([Promise.all(this.#taken.values()), sleep(deadline, undefined, { ref: false })])
  }
}
