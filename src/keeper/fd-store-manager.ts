import type { Logger } from '../log.ts'
import { Deadline } from './deadline.ts'
import type { FdStore, Stored } from './fd-store.ts'
import type { RateLimitedLog } from '../os/rate-limited-log.ts'

const NAMES_IN_A_LINE = 100

/** The store, with a word in the log on what happens to it, and with the time that it waits for a successor. */
export class FdStoreManager {
  readonly #store: FdStore
  readonly #log: Logger
  readonly #rateLimitedLog: RateLimitedLog
  readonly #wait: number
  readonly #deadline: Deadline

  /** `wait`: milliseconds in which a successor must be ready; `giveUp` ends a program that is not. */
  constructor(store: FdStore, wait: number, giveUp: () => void, log: Logger, rateLimitedLog: RateLimitedLog) {
    this.#store = store
    this.#log = log
    this.#rateLimitedLog = rateLimitedLog
    this.#wait = wait
    this.#deadline = new Deadline(() => {
      const dropped = store.clear()
      if (dropped.length === 0) return
      const what = `${dropped.length} ${dropped.length === 1 ? 'descriptor' : 'descriptors'}: ${namesOf(dropped)}`
      log.error(`no successor was ready within ${wait / 1000} s: closed ${what}; their consumers get an error now`)
      giveUp()
    })
  }

  get entries(): readonly Stored[] {
    return this.#store.entries
  }

  /** Takes over the descriptors that came with one message. */
  add(name: string, poll: boolean, descriptors: readonly number[]): void {
    if (this.#store.full) this.prune()
    for (const fd of descriptors) {
      const outcome = this.#store.add({ name, fd, poll })
      if (outcome === 'full')
        this.#rateLimitedLog.warning('full', `no room for another descriptor: closed one named ${name} (--store-max)`)
      if (outcome === 'names')
        this.#rateLimitedLog.warning('full', `no room for another name in LISTEN_FDNAMES: closed one named ${name}`)
    }
  }

  remove(name: string): void {
    this.#store.remove(name)
  }

  /** Closes descriptors without a peer: connections that were aborted, pipes without a reader. */
  prune(): void {
    const dropped = this.#store.prune()
    if (dropped.length > 0) this.#log.info(`closed descriptors that have hung up: ${namesOf(dropped)}`)
  }

  /** The program has ended: the time runs, unless it does since an earlier end. */
  orphaned(): void {
    this.prune()
    if (!this.#deadline.armed && this.entries.length > 0) this.#deadline.set(this.#wait)
  }

  takenOver(): void {
    this.#deadline.clear()
  }

  /** For good. */
  close(): void {
    this.#deadline.clear()
    this.#store.clear()
  }
}

function namesOf(stored: readonly Stored[]): string {
  const names = stored.slice(0, NAMES_IN_A_LINE).map(({ name }) => name)
  const more = stored.length - names.length
  return `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
