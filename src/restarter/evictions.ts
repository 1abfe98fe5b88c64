import { array, number, object, optional, string } from 'valibot'
import { type Clock, toMonotonic } from '../os/clock.ts'
import { parseJson } from '../schema.ts'
import type { Used } from './decision.ts'
import type { Pod } from './pod.ts'

/** The times of evictions, in milliseconds. */
export interface EvictionLimits {
  /** After which an eviction that shows in no pod has not taken place. */
  readonly unseen: number
  /** Beyond its grace period, after which a pod that does not end no longer keeps others from being evicted. */
  readonly overdue: number
}

/** An eviction that was asked for. */
interface Eviction {
  readonly uid: string
  /** Milliseconds of Clock.monotonic. */
  readonly at: number
}

/** The pods of the cluster. */
interface KnownPods {
  readonly all: Iterable<Pod>
  get(uid: string): Pod | undefined
}

const TEXT = object({ evictions: optional(array(object({ uid: string(), at: number() })), []) })

/**
 * The evictions of the last time, those of the leader before included: its successor reads them from {@link text}. A pod that was evicted counts until it
 * is gone, or until another pod of its controller that was made since then is ready.
 */
export class Evictions {
  readonly #clock: Clock
  readonly #limits: EvictionLimits
  #evictions: readonly Eviction[]

  /** `text`: of the leader before; undefined if there was none. Throws Error for another text. */
  constructor(clock: Clock, limits: EvictionLimits, text?: string) {
    this.#clock = clock
    this.#limits = limits
    const { evictions } = text === undefined ? { evictions: [] } : parseJson(TEXT, text)
    this.#evictions = evictions.map(({ uid, at }) => ({ uid, at: toMonotonic(clock, at) }))
  }

  /** An eviction is about to be asked for. */
  add(uid: string): void {
    this.remove(uid)
    this.#evictions = [...this.#evictions, { uid, at: this.#clock.monotonic() }]
  }

  /** The eviction was refused. */
  remove(uid: string): void {
    this.#evictions = this.#evictions.filter((one) => one.uid !== uid)
  }

  /** What they use of the limits now. Those that count no more are forgotten. */
  used(pods: KnownPods, interval: number): Used {
    const now = this.#clock.monotonic()
    const open = this.#evictions.filter((one) => this.#isOpen(one, pods, now))
    const within = this.#evictions.filter(({ at }) => at > now - interval)
    this.#evictions = this.#evictions.filter((one) => open.includes(one) || within.includes(one))
    return { atOnce: open.length, withinInterval: within.map(({ at }) => at) }
  }

  /** For the next leader. Times are milliseconds since 1970. */
  text(): string {
    const { monotonic, wall } = this.#clock
    const evictions = this.#evictions.map(({ uid, at }) => ({ uid, at: Math.round(wall() - (monotonic() - at)) }))
    return JSON.stringify({ evictions })
  }

  #isOpen({ uid, at }: Eviction, pods: KnownPods, now: number): boolean {
    const pod = pods.get(uid)
    if (pod === undefined) return false
    if (pod.deleted === undefined) return now < at + this.#limits.unseen
    if (now >= at + pod.gracePeriod + this.#limits.overdue) return false
    return !isReplaced(pod, pod.deleted, pods.all)
  }
}

/** Both times are by the clock of the API server, and whole seconds. */
function isReplaced({ uid, controller }: Pod, deleted: number, pods: Iterable<Pod>): boolean {
  if (controller === undefined) return false
  for (const other of pods) {
    const isSibling = other.uid !== uid && other.controller?.uid === controller.uid
    if (isSibling && other.ready && other.deleted === undefined && (other.created ?? 0) >= deleted) return true
  }
  return false
}
