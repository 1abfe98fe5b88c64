/** Windows in vain, one after another, until polling is given up. */
const EMPTY_POLLS = 4
/** Quick comers in a row that it takes at the most until polling is tried again. */
const MOST_NEEDED = 64

/**
 * For how long to go on asking for the next request before going to sleep. Waking a thread that sleeps on another CPU takes a virtual machine 40
 * to 50 µs, longer than most requests take; who sends one after the other should not pay for it each time, and who sends one now and
 * then should not keep a CPU busy.
 */
export class AdaptivePolling {
  readonly #longest: number
  #on = true
  #vain = 0
  #quick = 0
  #needed = 1

  /** `longest`: milliseconds; 0 switches it off. */
  constructor(longest: number) {
    this.#longest = longest
  }

  /** Milliseconds to go on polling after the last request. */
  get window(): number {
    return this.#on ? this.#longest : 0
  }

  /** A request came while we polled. */
  hit(): void {
    this.#vain = 0
    this.#needed = 1
  }

  /** None did. */
  miss(): void {
    this.#vain++
    if (this.#vain < EMPTY_POLLS) return
    this.#on = false
    this.#quick = 0
    this.#needed = Math.min(2 * this.#needed, MOST_NEEDED)
  }

  /** We slept, and a request woke us `gap` milliseconds after the last one had been answered. */
  woke(gap: number): void {
    if (this.#on) return
    // What came within the time that waking takes would have been met.
    this.#quick = gap <= 3 * this.#longest ? this.#quick + 1 : 0
    if (this.#quick < this.#needed) return
    this.#on = this.#longest > 0
    this.#vain = 0
  }
}
