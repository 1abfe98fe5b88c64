/** Limits how many tasks run at once. A task that takes long is assumed to wait, and no longer counts. */
export class ConcurrencyLimit {
  readonly #most: number
  readonly #patience: number
  readonly #waiting: (() => void)[] = []
  #busy = 0

  /** `patience`: milliseconds for which a turn counts. */
  constructor(most: number, patience: number) {
    this.#most = most
    this.#patience = patience
  }

  /** Waits for a turn, then acts. */
  async take<T>(act: () => Promise<T>): Promise<T> {
    while (this.#busy >= this.#most) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#busy++
    let counts = true
    const end = (): void => {
      if (!counts) return
      counts = false
      this.#busy--
      this.#waiting.shift()?.()
    }
    const timer = setTimeout(end, this.#patience)
    try {
      return await act()
    } finally {
      clearTimeout(timer)
      end()
    }
  }
}
