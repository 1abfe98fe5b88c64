import type { Pending } from './pending.ts'

/** Milliseconds after which a suspect that is not answered is not alone any more: some requests take for ever. */
const ALONE = 1000

/**
 * Requests that several daemons in a row had when they ended: one of them may be what ends them. The next daemons get them one at a time, so that the one
 * that ends a daemon is known, and the others are not failed with it.
 */
export class Suspects {
  readonly #give: (suspect: Pending) => void
  readonly #waiting: Pending[] = []
  /** Those that the daemon which serves has been given, in their order. */
  readonly #given = new Set<Pending>()
  #timer: NodeJS.Timeout | undefined
  #serving = false

  /** `give`: gives a suspect to the daemon. */
  constructor(give: (suspect: Pending) => void) {
    this.#give = give
  }

  /** A request becomes a suspect. It is held until its turn comes. */
  add(suspect: Pending): void {
    suspect.held = true
    this.#waiting.push(suspect)
  }

  /** A daemon serves. */
  begin(): void {
    this.#serving = true
    this.#next()
  }

  /** The daemon has ended. Returns the suspect that it was given last and has not answered. */
  stop(): Pending | undefined {
    clearTimeout(this.#timer)
    this.#serving = false
    const given = [...this.#given]
    this.#given.clear()
    for (const suspect of given) suspect.held = true
    this.#waiting.unshift(...given)
    return given.at(-1)
  }

  /** A request is answered. */
  over(pending: Pending): void {
    if (this.#given.delete(pending)) {
      if (this.#given.size === 0) this.#next()
      return
    }
    const index = pending.held ? this.#waiting.indexOf(pending) : -1
    if (index >= 0) this.#waiting.splice(index, 1)
  }

  #next(): void {
    clearTimeout(this.#timer)
    const suspect = this.#serving ? this.#waiting.shift() : undefined
    if (suspect === undefined) return
    suspect.held = false
    this.#given.add(suspect)
    this.#timer = setTimeout(() => this.#next(), ALONE)
    this.#give(suspect)
  }
}
