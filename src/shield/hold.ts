import type { Pending } from './pending.ts'

/** What a hold has kept back. */
export interface HoldReport {
  readonly held: number
  /** Milliseconds of the request that waited longest. */
  readonly longest: number
}

/** Keeps requests back that the daemon has not been given, while it is about to be replaced. */
export class Hold {
  readonly #kept = new Set<Pending>()
  #tell: (() => void) | undefined
  #first: number | undefined

  /** `drained`: called once, when the daemon owes nothing. */
  constructor(drained: () => void) {
    this.#tell = drained
  }

  /** Whether a request has to wait. One that the daemon has been asked something for goes on. */
  keeps(pending: Pending): boolean {
    if (pending.tried) return false
    this.#first ??= performance.now()
    this.#kept.add(pending)
    return true
  }

  /** The daemon owes nothing. */
  drained(): void {
    const tell = this.#tell
    this.#tell = undefined
    tell?.()
  }

  /** To be called when it is over. */
  report(): HoldReport {
    return { held: this.#kept.size, longest: this.#first === undefined ? 0 : performance.now() - this.#first }
  }
}
