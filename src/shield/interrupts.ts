import { isBeingKilled } from '../os/processes/processes.ts'

/** Milliseconds between looks at the callers of interrupted requests. */
const LOOK = 100

/** A request whose caller may get a signal. */
export interface Interruptible {
  /** The thread that waits; 0: it is in another PID namespace, and nothing is known of it. */
  readonly caller: number
}

/**
 * Requests whose callers have got a signal while they wait. Such a caller is let go only if the signal ends it: another signal would end its call with
 * EINTR, which callers do not expect of a file. The kernel tells of the first signal alone.
 */
export class Interrupts<T extends Interruptible> {
  readonly #letGo: (request: T) => void
  readonly #requests = new Set<T>()
  #timer: NodeJS.Timeout | undefined

  /** `letGo`: ends a wait. */
  constructor(letGo: (request: T) => void) {
    this.#letGo = letGo
  }

  add(request: T): void {
    this.#requests.add(request)
    this.#look()
  }

  /** A request has been answered. */
  delete(request: T): void {
    this.#requests.delete(request)
  }

  #look(): void {
    clearTimeout(this.#timer)
    for (const request of this.#requests) {
      if (request.caller !== 0 && !isBeingKilled(request.caller)) continue
      this.#requests.delete(request)
      this.#letGo(request)
    }
    if (this.#requests.size > 0) this.#timer = setTimeout(() => this.#look(), LOOK)
  }
}
