import { RunningCall } from '../call-context.ts'
import type { MountCacheEntry } from './mount-cache-entry.ts'
import type { UnderWay } from './restoration.ts'

/** The limits of one attempt to restore an entry, in milliseconds. */
export interface AttemptLimits {
  readonly call: number
  readonly callMargin: number
}

/** Restores an entry within a call. Never rejects; resolves to `again` if the call was cancelled before it was over, or its turn has not come. */
type Attempt = (entry: MountCacheEntry, call: RunningCall) => Promise<'over' | 'again'>

/** `queued`: not begun. `awaited`: under way, and a call waits for it. */
type State = 'queued' | 'running' | 'awaited' | 'over'

/** Restores the entries of one volume, one after the other. A call can bring it forward ({@link hurry}) or stop it for a time ({@link pause}). */
export class Replay implements UnderWay {
  readonly #entries: readonly MountCacheEntry[]
  readonly #attempt: Attempt
  readonly #limits: AttemptLimits
  readonly #restored = Promise.withResolvers<undefined>()
  #state: State = 'queued'
  #call: RunningCall | undefined
  /** Settles when the attempt under way is over. */
  #attempting: Promise<unknown> = Promise.resolve()
  #pauses = 0
  #goOn = Promise.withResolvers<undefined>()

  constructor(entries: readonly MountCacheEntry[], attempt: Attempt, limits: AttemptLimits) {
    this.#entries = entries
    this.#attempt = attempt
    this.#limits = limits
  }

  get restored(): Promise<void> {
    return this.#restored.promise.then(() => undefined)
  }

  /** Begins it, unless it has begun. Resolves when it is over. */
  async run(): Promise<void> {
    this.#begin('running')
    await this.restored
  }

  /** Brings it forward: it begins now, and its starts come before those that no client waits for. */
  readonly hurry = (): void => {
    this.#call?.hurry()
    if (this.#state === 'running') this.#state = 'awaited'
    else this.#begin('awaited')
  }

  readonly pause = async (): Promise<Disposable> => {
    this.#pauses++
    this.#call?.cancel()
    await this.#attempting
    return {
      [Symbol.dispose]: () => {
        if (--this.#pauses > 0) return
        this.#goOn.resolve(undefined)
        this.#goOn = Promise.withResolvers<undefined>()
      },
    }
  }

  #begin(state: 'running' | 'awaited'): void {
    if (this.#state !== 'queued') return
    this.#state = state
    this.#all().then(() => {
      this.#state = 'over'
      this.#restored.resolve(undefined)
    }, this.#restored.reject)
  }

  async #all(): Promise<void> {
    for (const entry of this.#entries) {
      let outcome: 'over' | 'again'
      do outcome = await this.#unpaused(entry)
      while (outcome === 'again')
    }
  }

  async #unpaused(entry: MountCacheEntry): Promise<'over' | 'again'> {
    while (this.#pauses > 0) await this.#goOn.promise
    using call = new RunningCall(this.#limits.call, { margin: this.#limits.callMargin }, this.#state === 'awaited')
    this.#call = call
    const attempt = this.#attempt(entry, call)
    this.#attempting = attempt
    const outcome = await attempt
    this.#call = undefined
    return outcome
  }
}
