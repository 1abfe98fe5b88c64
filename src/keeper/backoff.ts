const FIRST = 100
const LONGEST = 10_000

/** A program that says READY=1 and fails within this time (milliseconds), so often in a row, is not to spin. */
const SHORT_LIFE = 100
const SHORT_LIVES = 10

/** How long the program's next start is put off, in milliseconds. */
export class Backoff {
  #next = FIRST
  #shortLives = 0

  /**
   * After an end: `life` is how long the program had been ready, undefined if it never was; `failed`, that it was its own failure and
   * not somebody's SIGKILL.
   */
  delay(life: number | undefined, failed: boolean): number {
    this.#shortLives = life !== undefined && life < SHORT_LIFE && failed ? this.#shortLives + 1 : 0
    if (life !== undefined && this.#shortLives <= SHORT_LIVES) {
      this.#next = FIRST
      return 0
    }
    // Whom somebody kills, its consumers wait for; one that the kernel kills for its memory, at each start, is not to spin either.
    if (!failed) return FIRST
    const delay = this.#next
    this.#next = Math.min(2 * delay, LONGEST)
    return delay
  }
}
