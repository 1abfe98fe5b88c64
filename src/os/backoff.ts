/** The bounds of a back-off, in milliseconds. */
export interface BackoffLimits {
  readonly first: number
  readonly longest: number
}

/** The delay before the next attempt at what has failed: `first` after the first failure, then twice the last delay, at most `longest`. */
export class Backoff {
  readonly #limits: BackoffLimits
  #failures = 0

  constructor(limits: BackoffLimits) {
    this.#limits = limits
  }

  /** Failures since the last {@link reset}. */
  get failures(): number {
    return this.#failures
  }

  /** Counts a failure. Returns the milliseconds until the next attempt. */
  next(): number {
    return this.after(++this.#failures)
  }

  /** Milliseconds until the next attempt after so many failures in a row; 0 after none. */
  after(failures: number): number {
    const { first, longest } = this.#limits
    return failures === 0 ? 0 : Math.min(first * 2 ** (failures - 1), longest)
  }

  /** An attempt has succeeded. */
  reset(): void {
    this.#failures = 0
  }
}
