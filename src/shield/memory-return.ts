/** Milliseconds between two looks. */
const LOOK = 5000
/** Bytes of notes that stand for memory that is worth the time: about 25,000 nodes. */
const LEAST_NOTED = 2 * 1024 * 1024
/** Bytes that are noted between two looks while little is going on. */
const QUIET = 64 * 1024
/** The part of the log that must have been noted since the last time, so that there is enough garbage to be worth the time. */
const PART = 1 / 4

/** By what the nodes and open files are measured that there are, and that came and went: {@link ShieldState}'s log. */
interface Measured {
  readonly size: number
  readonly noted: number
}

/**
 * Gives memory back to the system. V8 collects what is garbage when it needs room, and keeps the room. A shield that is idle would keep for ever what it needed for files
 * that the kernel has forgotten. It would also keep the garbage that many new files leave.
 *
 * To collect takes the longer the more is there, and nobody is served meanwhile: milliseconds for few files, half a second for a million. So it is done when many files
 * have come or gone, and few more do between two looks.
 */
export class MemoryReturn {
  readonly #measured: Measured
  readonly #collect: () => void
  #timer: NodeJS.Timeout | undefined
  #seen: number
  #collected: number

  /** `collect`: collects what is garbage, and returns the room to the system. */
  constructor(measured: Measured, collect: () => void) {
    this.#measured = measured
    this.#collect = collect
    this.#seen = this.#collected = measured.noted
  }

  begin(): void {
    this.#timer = setInterval(() => this.look(), LOOK).unref()
  }

  end(): void {
    clearInterval(this.#timer)
  }

  /** Looks whether there is something to give back. */
  look(): void {
    const { noted, size } = this.#measured
    const isQuiet = noted - this.#seen < QUIET
    this.#seen = noted
    if (!isQuiet || noted - this.#collected < Math.max(LEAST_NOTED, PART * size)) return
    this.#collected = noted
    this.#collect()
  }
}
