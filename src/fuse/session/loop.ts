import type { Epoll } from '../../os/descriptors/epoll.ts'
import type { AdaptivePolling } from './polling.ts'

/** Requests that one device is served in a row, while others may wait. */
const MOST_IN_A_ROW = 16
/** Rounds of one device alone, after which the others are looked at. */
const ROUNDS_ALONE = 16

/** Milliseconds to wait, -1: for ever; a function is called when there is nothing to serve, and only then. */
export type Timeout = number | (() => number)

/** Something whose requests are to be served. */
export interface SessionDescriptor {
  readonly fd: number
  /** Whether the next request is polled for. It is where this is missing. */
  readonly polled?: boolean
  /** Serves up to `most` requests; how many there were. It is not called again once it has ended. */
  serve(most: number): number
}

/** Serves any number of devices from one thread, each in turn. */
export class ServingLoop {
  readonly #epoll: Epoll
  readonly #polling: AdaptivePolling
  readonly #yield: () => void
  readonly #served = new Map<number, SessionDescriptor>()
  /** Descriptors that are not served, and what is called when they are readable. */
  readonly #listened = new Map<number, () => void>()
  /** The device that had the last request: the next one is its too, more often than not. */
  #hot: SessionDescriptor | undefined
  #alone = 0
  #lastServed = 0

  /** `yieldProcessor`: sched_yield(2). */
  constructor(epoll: Epoll, polling: AdaptivePolling, yieldProcessor: () => void) {
    this.#epoll = epoll
    this.#polling = polling
    this.#yield = yieldProcessor
  }

  /** Calls `act` whenever `fd` is readable; reading it is left to `act`. */
  listen(fd: number, act: () => void): void {
    this.#epoll.add(fd)
    this.#listened.set(fd, act)
  }

  add(served: SessionDescriptor): void {
    this.#epoll.add(served.fd)
    this.#served.set(served.fd, served)
  }

  /** Its descriptor must still be open. */
  remove(served: SessionDescriptor): void {
    if (!this.#served.delete(served.fd)) return
    if (this.#hot === served) this.#hot = undefined
    this.#epoll.remove(served.fd)
  }

  /** Serves what there is, or waits up to `timeout` milliseconds (-1: for ever) until there is something. */
  turn(timeout: Timeout): void {
    if (this.#poll()) return
    const count = this.#epoll.wait(typeof timeout === 'number' ? timeout : timeout())
    if (count === 0) return
    this.#polling.woke(performance.now() - this.#lastServed)
    this.#serve(count)
  }

  #poll(): boolean {
    const { window } = this.#polling
    if (window === 0 || this.#hot === undefined || this.#hot.polled === false) return false
    const until = this.#lastServed + window
    do {
      if (this.#alone < ROUNDS_ALONE && this.#serveOne(this.#hot)) {
        this.#alone++
        this.#polling.hit()
        return true
      }
      this.#alone = 0
      // A reader on the same processor would otherwise wait with its answer until the poll time is over.
      this.#yield()
      const count = this.#epoll.wait(0)
      if (count > 0) {
        this.#polling.hit()
        this.#serve(count)
        return true
      }
    } while (performance.now() < until)
    this.#polling.miss()
    this.#hot = undefined
    return false
  }

  #serve(count: number): void {
    for (let index = 0; index < count; index++) {
      const fd = this.#epoll.descriptor(index)
      const served = this.#served.get(fd)
      if (served === undefined) this.#listened.get(fd)?.()
      else this.#serveOne(served)
    }
  }

  /** Returns whether there were requests, or the session's end; after the end its device wakes no wait. */
  #serveOne(served: SessionDescriptor): boolean {
    if (served.serve(MOST_IN_A_ROW) === 0 && this.#served.has(served.fd)) return false
    this.#lastServed = performance.now()
    this.#hot = this.#served.has(served.fd) ? served : undefined
    return true
  }
}
