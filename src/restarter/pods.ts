import { messageOf } from '../errors.ts'
import type { WatchSink } from '../kubernetes/object-watch.ts'
import type { Logger } from '../log.ts'
import type { Clock } from '../os/clock.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'
import { InaccessibleSince } from './inaccessible-since.ts'
import { parsePod, type Pod } from './pod.ts'

/** All pods of the cluster, as a watch tells of them. */
export class Pods implements WatchSink {
  readonly since = new InaccessibleSince()
  readonly #driver: string
  readonly #clock: Clock
  readonly #rateLimitedLog: RateLimitedLog
  readonly #byUid = new Map<string, Pod>()
  readonly #synced = Promise.withResolvers<undefined>()
  /** When the watch has told last that it is up to date; undefined after an interruption. Milliseconds of Clock.monotonic. */
  #upToDate: number | undefined
  #onChange: () => void = () => undefined

  /** `driver`: the name of the CSI driver, by which {@link parsePod} knows the driver's own pods. */
  constructor(driver: string, clock: Clock, log: Logger) {
    this.#driver = driver
    this.#clock = clock
    this.#rateLimitedLog = new RateLimitedLog(log)
  }

  /** Resolves once all pods have been listed. */
  get synced(): Promise<undefined> {
    return this.#synced.promise
  }

  get all(): Iterable<Pod> {
    return this.#byUid.values()
  }

  /** How many have an inaccessible volume. */
  get inaccessible(): number {
    return [...this.#byUid.values()].filter(({ inaccessible }) => inaccessible.length > 0).length
  }

  /** Whether a list or an event of the watch has come within so many milliseconds, and no interruption since. */
  isCurrent(age: number): boolean {
    return this.#upToDate !== undefined && this.#clock.monotonic() < this.#upToDate + age
  }

  get(uid: string): Pod | undefined {
    return this.#byUid.get(uid)
  }

  /** Sets the one listener. It is called after each change that may lead to an eviction, or end one. */
  onChange(listener: () => void): void {
    this.#onChange = listener
  }

  replace(objects: readonly unknown[]): void {
    const gone = new Set(this.#byUid.keys())
    const now = this.#clock.monotonic()
    for (const object of objects) {
      const pod = this.#take(object, now, true)
      if (pod !== undefined) gone.delete(pod.uid)
    }
    for (const uid of gone) this.#remove(uid)
    this.#synced.resolve(undefined)
    this.#onChange()
  }

  changed(object: unknown): void {
    const pod = this.#take(object, this.#clock.monotonic(), false)
    if (pod !== undefined && (pod.inaccessible.length > 0 || pod.ready || pod.deleted !== undefined)) this.#onChange()
  }

  deleted(object: unknown): void {
    const pod = this.#parsed(object)
    if (pod === undefined) return
    this.#remove(pod.uid)
    this.#onChange()
  }

  upToDate(): void {
    this.#upToDate = this.#clock.monotonic()
  }

  interrupted(): void {
    this.#upToDate = undefined
  }

  /** Takes a pod that was read apart from the watch. */
  observe(pod: Pod): void {
    this.since.observe(pod, this.#clock.monotonic(), true)
  }

  #take(object: unknown, now: number, afterGap: boolean): Pod | undefined {
    const pod = this.#parsed(object)
    if (pod === undefined) return undefined
    this.#byUid.set(pod.uid, pod)
    this.since.observe(pod, now, afterGap)
    return pod
  }

  #remove(uid: string): void {
    this.#byUid.delete(uid)
    this.since.forget(uid)
  }

  #parsed(object: unknown): Pod | undefined {
    try {
      return parsePod(object, this.#driver)
    } catch (error) {
      this.#rateLimitedLog.warning('pod', `a pod that the API server sent is left alone: ${messageOf(error)}`)
      return undefined
    }
  }
}
