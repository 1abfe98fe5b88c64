/** setTimeout(3) takes 31 bits of milliseconds. */
const LONGEST = 0x7fffffff

/** One thing that happens when a time is up, unless it is called off. */
export class Deadline {
  readonly #act: (late: number) => void
  #timer: NodeJS.Timeout | undefined
  #at = 0

  /** `act` is told how many milliseconds too late it is called: as long as this process was stopped. */
  constructor(act: (late: number) => void) {
    this.#act = act
  }

  get armed(): boolean {
    return this.#timer !== undefined
  }

  /** Milliseconds from now, in place of what was set before. */
  set(delay: number): void {
    this.clear()
    this.#at = performance.now() + delay
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        this.#act(performance.now() - this.#at)
      },
      Math.min(delay, LONGEST),
    )
  }

  /** Not before so many milliseconds from now, if it is set at all. */
  extend(delay: number): void {
    if (this.armed && performance.now() + delay > this.#at) this.set(delay)
  }

  clear(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
