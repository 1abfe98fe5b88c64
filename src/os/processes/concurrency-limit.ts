/** Lets so many work at a time that a machine keeps up with them; who takes long is taken to wait, and keeps nobody else from beginning. */
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
