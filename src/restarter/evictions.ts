import { array, number, object, optional, pipe, startsWith, string } from 'valibot'
import { type Clock, toMonotonic } from '../os/clock.ts'
import { parseJson } from '../schema.ts'
import { type ControllerReference, controllerOf } from './controllers.ts'
import type { Used } from './decision.ts'
import type { Pod } from './pod.ts'

/** The times of evictions, in milliseconds. */
export interface EvictionLimits {
  /** After which an eviction that shows in no pod has not taken place. */
  readonly unseen: number
}

/** What an evicted pod's replacement is known by. */
interface Slot {
  /** Milliseconds since 1970 by the clock of the API server: a replacement is made then or later. */
  readonly after: number
  readonly controller?: ControllerReference | undefined
}

/** An eviction that was asked for. */
interface Eviction {
  readonly uid: string
  /** Milliseconds of Clock.monotonic. */
  readonly at: number
  /** Undefined: it counts no more among those that wait for a replacement. */
  readonly slot?: Slot | undefined
  /** The uid of the replacement, which replaces no other pod. */
  readonly replacedBy?: string | undefined
}

/** The pods of the cluster. */
export interface KnownPods {
  readonly all: Iterable<Pod>
  get(uid: string): Pod | undefined
}

/** Times of the API server are whole seconds. */
const SECOND = 1000

const CONTROLLER = object({ uid: string(), path: optional(pipe(string(), startsWith('/api'))) })
const EVICTION = object({
  uid: string(),
  at: number(),
  slot: optional(object({ after: number(), controller: optional(CONTROLLER) })),
  replacedBy: optional(string()),
})
const TEXT = object({ evictions: optional(array(EVICTION), []) })

/**
 * The evictions of the last time, those of the leader before included: its successor reads them from {@link text}. An eviction holds a slot until a pod
 * of the same controller that was made since then is ready, or until the controller wants none; without a controller, until the pod is gone.
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
    this.#evictions = evictions.map((one) => ({ ...one, at: toMonotonic(clock, one.at) }))
  }

  /** An eviction is about to be asked for. `pods`: those of the cluster. */
  add(pod: Pod, pods: Iterable<Pod>): void {
    this.remove(pod.uid)
    const controller = controllerOf(pod)
    let newest = pod.created ?? 0
    for (const other of pods)
      if (controller !== undefined && other.controller?.uid === controller.uid) newest = Math.max(newest, other.created ?? 0)
    const slot = { after: newest + SECOND, controller }
    this.#evictions = [...this.#evictions, { uid: pod.uid, at: this.#clock.monotonic(), slot }]
  }

  /** The eviction was refused. */
  remove(uid: string): void {
    this.#evictions = this.#evictions.filter((one) => one.uid !== uid)
  }

  /** The controllers of which replacements are waited for. */
  get controllers(): readonly ControllerReference[] {
    const all = this.#evictions.flatMap(({ slot }) => slot?.controller ?? [])
    return [...new Map(all.map((one) => [one.uid, one])).values()]
  }

  /**
   * What they use of the limits now. Those that are older than `interval` are forgotten. `wanted`: how many pods a controller wants; undefined if that is not
   * known.
   */
  used(pods: KnownPods, interval: number, wanted: (controller: string) => number | undefined): Used {
    const now = this.#clock.monotonic()
    const within = this.#evictions.filter(({ at }) => at > now - interval)
    const replacing = new Set(within.flatMap(({ replacedBy }) => replacedBy ?? []))
    const siblings = this.#siblings(pods.all)
    // A pod that is new enough for a later eviction is so for an earlier one.
    const order = within.toSorted((a, b) => (b.slot?.after ?? 0) - (a.slot?.after ?? 0))
    const settled = new Map<string, Eviction>()
    for (const eviction of order) {
      const { slot } = eviction
      const others = (siblings.get(slot?.controller?.uid ?? '') ?? []).filter(({ uid }) => uid !== eviction.uid)
      const after = this.#settle(eviction, { pod: pods.get(eviction.uid), others, replacing, wanted, now })
      if (after.replacedBy !== undefined) replacing.add(after.replacedBy)
      settled.set(eviction.uid, after)
    }
    this.#evictions = within.map((one) => settled.get(one.uid) ?? one)
    const atOnce = this.#evictions.filter(({ slot }) => slot !== undefined).length
    return { atOnce, withinInterval: within.map(({ at }) => at) }
  }

  /** For the next leader. Times are milliseconds since 1970. */
  text(): string {
    const { monotonic, wall } = this.#clock
    const evictions = this.#evictions.map((one) => ({ ...one, at: Math.round(wall() - (monotonic() - one.at)) }))
    return JSON.stringify({ evictions })
  }

  #siblings(pods: Iterable<Pod>): ReadonlyMap<string, readonly Pod[]> {
    const siblings = new Map<string, Pod[]>(this.controllers.map(({ uid }) => [uid, []]))
    for (const pod of pods) siblings.get(pod.controller?.uid ?? '')?.push(pod)
    return siblings
  }

  /** The eviction as it is now: without its slot if it needs none any more. */
  #settle(eviction: Eviction, { pod, others, replacing, wanted, now }: Surroundings): Eviction {
    const { uid, at, slot } = eviction
    if (slot === undefined) return eviction
    const over: Eviction = { ...eviction, slot: undefined }
    if (pod !== undefined && pod.deleted === undefined) return now < at + this.#limits.unseen ? eviction : over
    const { controller, after } = pod?.deleted === undefined ? slot : { ...slot, after: pod.deleted }
    if (controller === undefined) return pod === undefined ? over : eviction
    const isNew = (one: Pod): boolean => (one.created ?? 0) >= after
    const works = (one: Pod): boolean => one.ready || one.succeeded
    const live = others.filter((one) => one.deleted === undefined && (!one.over || one.succeeded))
    const replacement = live.find((one) => isNew(one) && works(one) && !replacing.has(one.uid))
    if (replacement !== undefined) return { ...over, replacedBy: replacement.uid }
    const waiting: Eviction = { uid, at, slot: { after, controller } }
    if (pod !== undefined || live.some((one) => isNew(one) && !works(one))) return waiting
    return live.length >= (wanted(controller.uid) ?? Infinity) ? over : waiting
  }
}

/** What the state of an eviction follows from. */
interface Surroundings {
  /** The evicted pod; undefined once it is gone. */
  readonly pod: Pod | undefined
  /** The other pods of its controller. */
  readonly others: readonly Pod[]
  /** The uids of the pods that replace others. */
  readonly replacing: ReadonlySet<string>
  readonly wanted: (controller: string) => number | undefined
  readonly now: number
}
