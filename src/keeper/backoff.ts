const FIRST = 100
const LONGEST = 10_000

/** A program that says READY=1 and dies within this time, so often in a row, is not to spin. In milliseconds. */
const SHORT_LIFE = 100
const SHORT_LIVES = 10

/** How long the program's next start is put off, in milliseconds. */
export class Backoff {
  #next = FIRST
  #shortLives = 0

  /** After an end: `life` is how long the program had been ready, undefined if it never was. */
  delay(life: number | undefined): number {
    this.#shortLives = life !== undefined && life < SHORT_LIFE ? this.#shortLives + 1 : 0
    if (life !== undefined && this.#shortLives <= SHORT_LIVES) {
      this.#next = FIRST
      return 0
    }
    const delay = this.#next
    this.#next = Math.min(2 * delay, LONGEST)
    return delay
  }
}
