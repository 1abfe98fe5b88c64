/** Windows in vain, one after another, until polling is given up. */
const EMPTY_POLLS = 4
/** Quick comers in a row that it takes at the most until polling is tried again. */
const MOST_NEEDED = 64

/**
 * How long to poll for the next request before sleeping. To wake a thread that sleeps on another CPU takes 40 to 50 µs on a virtual machine, longer
 * than most requests take. A client that sends one request after another should not wait that long each time, and a client that sends a request now
 * and then should not keep a CPU busy.
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

  /** A request came during a poll. */
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

  /** A request ended the sleep, `gap` milliseconds after the last answer. */
  woke(gap: number): void {
    if (this.#on) return
    // What came within the time that waking takes would have been met.
    this.#quick = gap <= 3 * this.#longest ? this.#quick + 1 : 0
    if (this.#quick < this.#needed) return
    this.#on = this.#longest > 0
    this.#vain = 0
  }
}
