/** Milliseconds between two looks. */
const LOOK = 5000
/** Bytes of the log that stand for memory that is worth the time: about 25,000 nodes. */
const LEAST_SHED = 2 * 1024 * 1024

/** By what the nodes and open files are measured that there are, and were: {@link ShieldState}'s log. */
interface Measured {
  readonly size: number
  readonly shed: number
}

/**
 * Gives memory back to the system that files have left which the kernel has forgotten. V8 collects what is garbage when it needs room, and keeps the room: a shield that
 * is idle would keep for ever what it has once needed.
 *
 * To collect takes the longer the more is there, and nobody is served meanwhile: milliseconds for few files, half a second for a million. So it is done when most files are
 * forgotten, and no more of them have been between two looks.
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
    this.#seen = this.#collected = measured.shed
  }

  begin(): void {
    this.#timer = setInterval(() => this.look(), LOOK).unref()
  }

  end(): void {
    clearInterval(this.#timer)
  }

  /** Looks whether there is something to give back. */
  look(): void {
    const { shed, size } = this.#measured
    const isQuiet = shed === this.#seen
    this.#seen = shed
    if (!isQuiet || shed - this.#collected < Math.max(LEAST_SHED, size)) return
    this.#collected = shed
    this.#collect()
  }
}
