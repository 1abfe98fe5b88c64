import { Backoff } from '../backoff.ts'

/** Bounds of the delay, in milliseconds. */
const RESTART = { first: 100, longest: 10_000 }

/**
 * A life that ends by the program's own failure within SHORT_LIFE milliseconds of READY=1 is short. Short lives in a row beyond SHORT_LIVES are
 * delayed too: a program that says READY=1 and fails must not spin.
 */
const SHORT_LIFE = 100
const SHORT_LIVES = 10

/** The delay before the program's next start. */
export class RestartDelay {
  readonly #backoff = new Backoff(RESTART)
  #shortLives = 0

  /**
   * Milliseconds to wait after an end. `life`: how long the program had been ready, undefined if it never was. `failed`: that it ended by its own
   * failure, and not by a SIGKILL.
   */
  after(life: number | undefined, failed: boolean): number {
    this.#shortLives = life !== undefined && life < SHORT_LIFE && failed ? this.#shortLives + 1 : 0
    if (life !== undefined && this.#shortLives <= SHORT_LIVES) {
      this.#backoff.reset()
      return 0
    }
    // The consumers of a program that a user kills wait for it. A program that the kernel kills for its memory at each start must not spin either.
    return failed ? this.#backoff.next() : RESTART.first
  }
}
