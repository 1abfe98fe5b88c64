import { type CallContext, isCallEnded } from '../call-context.ts'
import { QueuedError } from './host.ts'

/** The limits of a start queue; times are milliseconds. */
export interface StartLimits {
  readonly startsAtOnce: number
  /** For how long a start counts once it waits for its storage. With healthy storage it is over before that. */
  readonly promptMount: number
  /** The time that a start must still have when its turn comes; half of the call's time where that is less. */
  readonly leastStart: number
  /** For how long a place is kept for a call that has not come again. */
  readonly placeKept: number
}

/** The place of a key. Places are in the order in which their keys first came. */
interface Place {
  /** Begins the start of the call that waits; undefined while none waits. */
  begin: (() => void) | undefined
  /** Whether a client waits for the call that waits. */
  awaited: () => boolean
  /** When the last call that waited went away (performance.now()). */
  left: number
}

/**
 * Limits how many processes start at the same time, first come first served. Starts that a client waits for take turns with the others: no client waits
 * behind everything that a plugin restores, and every restore gets its turn. A call whose turn does not come before its deadline gives up, and its key
 * keeps its place for the next call.
 */
export class StartQueue {
  readonly #limits: StartLimits
  readonly #places = new Map<string, Place>()
  #starting = 0
  /** Whether a client waited for the start that was begun last. */
  #lastAwaited = false

  constructor(limits: StartLimits) {
    this.#limits = limits
  }

  /** How many starts wait for their turn. */
  get waiting(): number {
    return [...this.#places.values()].filter(({ begin }) => begin !== undefined).length
  }

  /**
   * Waits for the turn of `key`, of which one call at a time may wait, then acts. The turn ends when `act` settles, or some time after it has called
   * `waits`: a start that waits for its storage takes no processor, and keeps no other from starting. Rejects with QueuedError, or the reason of the
   * call's signal.
   */
  async run<T>(key: string, call: CallContext, act: (waits: () => void) => Promise<T>): Promise<T> {
    await this.#turn(key, call)
    let counts = true
    let timer: NodeJS.Timeout | undefined
    const end = (): void => {
      clearTimeout(timer)
      if (!counts) return
      counts = false
      this.#starting--
      this.#next()
    }
    const waits = (): void => {
      timer ??= setTimeout(end, this.#limits.promptMount).unref()
    }
    try {
      return await act(waits)
    } finally {
      end()
    }
  }

  async #turn(key: string, call: CallContext): Promise<void> {
    const place = this.#places.get(key) ?? { begin: undefined, awaited: () => false, left: 0 }
    this.#places.set(key, place)
    const patience = call.remaining() - Math.min(this.#limits.leastStart, call.time / 2)
    await new Promise<void>((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer)
        call.signal.removeEventListener('abort', leave)
        place.begin = undefined
      }
      const leave = (): void => {
        end()
        place.left = performance.now()
        const reason: unknown = call.signal.reason
        const cancelled = isCallEnded(reason) && reason.kind === 'cancelled'
        reject(cancelled ? reason : new QueuedError(this.#description(key)))
      }
      const timer = setTimeout(leave, Math.max(patience, 0)).unref()
      if (patience <= 0 || call.signal.aborted) {
        leave()
        return
      }
      call.signal.addEventListener('abort', leave, { once: true })
      place.awaited = () => call.awaited
      place.begin = () => {
        end()
        this.#places.delete(key)
        resolve()
      }
      this.#next()
    })
  }

  #next(): void {
    this.#forgetOld()
    while (this.#starting < this.#limits.startsAtOnce) {
      const place = this.#first()
      if (place === undefined) return
      this.#starting++
      this.#lastAwaited = place.awaited()
      place.begin?.()
    }
  }

  /** Whose turn it is. */
  #first(): Place | undefined {
    const waiting = [...this.#places.values()].filter(({ begin }) => begin !== undefined)
    const awaited = waiting.find((place) => place.awaited())
    const other = waiting.find((place) => !place.awaited())
    return (this.#lastAwaited ? other : awaited) ?? awaited ?? other
  }

  #forgetOld(): void {
    const now = performance.now()
    for (const [key, { begin, left }] of this.#places)
      if (begin === undefined && now - left > this.#limits.placeKept) this.#places.delete(key)
  }

  #description(key: string): string {
    const number = [...this.#places.keys()].indexOf(key) + 1
    return `the start of ${key} is number ${number} of ${this.#places.size} in the queue (--starts-at-once ${this.#limits.startsAtOnce}); call again, its place is kept`
  }
}
