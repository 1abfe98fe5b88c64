import { setTimeout as sleep } from 'node:timers/promises'
import { array, object, optional, unknown } from 'valibot'
import { unlessAborted } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import { ApiError, type ApiServer, hasStatus } from '../kubernetes/api-server.ts'
import type { Term } from '../kubernetes/leader-election.ts'
import type { Logger } from '../log.ts'
import { Backoff, type BackoffLimits } from '../os/backoff.ts'
import type { Clock } from '../os/clock.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'
import { oneLine } from '../printable.ts'
import { checked } from '../schema.ts'
import type { Controllers } from './controllers.ts'
import { type Cause, decide, type Facts, judge, type Judged, type Rules } from './decision.ts'
import { type EvictionLimits, Evictions } from './evictions.ts'
import { parsePod, type Pod, podName } from './pod.ts'
import type { Nodes } from './nodes.ts'
import type { PodEvents } from './pod-events.ts'
import type { Pods } from './pods.ts'
import type { VolumeDrivers } from './volume-drivers.ts'

/** The annotation of the lease in which a leader finds the evictions of the leader before. */
const EVICTIONS = 'dummy-fuse-csi/evictions'

/** The cause of a refused eviction, in metav1.Status (k8s.io/api, policy/v1/types.go, DisruptionBudgetCause). */
const BUDGET = 'DisruptionBudget'

const LIST = object({ items: optional(array(unknown()), []) })

/** The times of the restarter, in milliseconds. */
interface RestarterLimits extends EvictionLimits {
  /** From a change of a pod to the next look at all pods. */
  readonly settle: number
  /** After which all pods are looked at again though none changes. */
  readonly look: number
  /** After which what the watch has brought last is too old to evict by. */
  readonly current: number
  /** From a refused eviction to the next attempt at the same pod. */
  readonly refused: BackoffLimits
}

/** How an attempt to evict a pod has come out: `refused` by a disruption budget, `failed` for another reason. */
export type EvictionOutcome = 'evicted' | 'refused' | 'failed'

/** The parts of {@link Restarter}. */
export interface RestarterParts {
  readonly api: ApiServer
  readonly pods: Pods
  readonly drivers: VolumeDrivers
  readonly controllers: Controllers
  readonly nodes: Nodes
  readonly events: PodEvents
  readonly rules: Rules
  /** The name of the driver, by which {@link parsePod} knows the driver's own pods. */
  readonly driverName: string
  /** Selects the pods, as for the watch; undefined for all. */
  readonly selector: string | undefined
  readonly limits: RestarterLimits
  readonly clock: Clock
  /** Called after each attempt to evict a pod. */
  readonly onAttempt: (outcome: EvictionOutcome) => void
  readonly log: Logger
}

/** A pod that could not be evicted. */
interface Refusal {
  readonly backoff: Backoff
  /** Milliseconds of Clock.monotonic. */
  until: number
}

/** What has become of an attempt. `again`: the pod has changed, and all are looked at anew. `left`: its status may be old. */
type Outcome = 'evicted' | 'refused' | 'again' | 'left'

/** Evicts pods whose volumes stay inaccessible, during one term of leadership after the other. */
export class Restarter {
  readonly #parts: RestarterParts
  readonly #rateLimitedLog: RateLimitedLog
  /** By the pod's uid. */
  readonly #refusals = new Map<string, Refusal>()
  #wake: () => void = () => undefined
  #leading = false
  /** The lease has an eviction that was refused. */
  #outdated = false

  constructor(parts: RestarterParts) {
    this.#parts = parts
    this.#rateLimitedLog = new RateLimitedLog(parts.log)
    parts.pods.onChange(() => this.#wake())
  }

  /** Whether a term lasts. */
  get leading(): boolean {
    return this.#leading
  }

  /** Looks for pods to evict until the term is over; rejects with its signal's reason then. */
  async lead(term: Term): Promise<never> {
    this.#leading = true
    try {
      return await this.#lookOn(term)
    } finally {
      this.#leading = false
    }
  }

  async #lookOn(term: Term): Promise<never> {
    const { pods, limits, clock } = this.#parts
    const evictions = this.#earlierEvictions(term)
    this.#outdated = false
    await unlessAborted(pods.synced, term.signal)
    for (;;) {
      // After a failure, soon.
      let next = clock.monotonic()
      const changed = this.#nextChange()
      try {
        next = await this.#round(term, evictions)
      } catch (error) {
        term.signal.throwIfAborted()
        this.#rateLimitedLog.warning('round', `cannot look at the pods' volumes: ${messageOf(error)}`)
      }
      term.signal.throwIfAborted()
      const over = new AbortController()
      const either = AbortSignal.any([term.signal, over.signal])
      const most = Math.max(Math.min(next - clock.monotonic(), limits.look), limits.settle)
      await Promise.race([changed, sleep(most, undefined, { signal: either }).catch(() => undefined)])
      over.abort()
      // Changes come in groups.
      await sleep(limits.settle, undefined, { signal: term.signal })
    }
  }

  #nextChange(): Promise<undefined> {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    this.#wake = () => {
      resolve(undefined)
    }
    return promise
  }

  /** Returns when the next one is due at the latest, in milliseconds of Clock.monotonic. */
  async #round(term: Term, evictions: Evictions): Promise<number> {
    const { pods, rules, limits, clock, controllers } = this.#parts
    this.#forget()
    await this.#takeOut(term, evictions)
    if (!pods.isCurrent(limits.current)) return clock.monotonic()
    for (const pod of pods.all) if (pod.inaccessible.length > 0) await this.#findDrivers(pod, term.signal)
    if (pods.inaccessible > 0) await this.#findControllers(evictions, term.signal)
    for (;;) {
      const used = evictions.used(pods, rules.interval, (uid) => controllers.wanted(uid))
      const { evict, bare, next } = decide(pods.all, used, rules, this.#facts())
      await this.#nameBare(bare, term.signal)
      const [first] = evict
      if (first === undefined) return next ?? clock.monotonic() + limits.look
      const outcome = await this.#evict(first, term, evictions)
      if (outcome === 'again' || outcome === 'refused') return clock.monotonic()
    }
  }

  /** Names the pods that are not evicted because they have no controller. */
  async #nameBare(bare: readonly Judged[], signal: AbortSignal): Promise<void> {
    const { events, log } = this.#parts
    for (const { pod, cause } of bare) {
      const note = `${this.#because(pod, cause)}. The pod is not evicted, because it has no controller that replaces it; delete it and create it again`
      if (await events.write(pod, 'Warning', 'NotEvictedNoController', note, signal)) log.warning(`pod ${podName(pod)}: ${note}`)
    }
  }

  /** A pod whose volumes' drivers cannot be found keeps no others from being looked at. Rejects if the API server does not answer. */
  async #findDrivers(pod: Pod, signal: AbortSignal): Promise<void> {
    try {
      await this.#parts.drivers.find(pod, signal)
    } catch (error) {
      if (error instanceof ApiError && error.status === undefined) throw error
      signal.throwIfAborted()
      this.#rateLimitedLog.warning('drivers', `cannot find the driver of a volume of pod ${podName(pod)}: ${messageOf(error)}`)
    }
  }

  /** An eviction whose controller cannot be looked at counts until a replacement is ready. Rejects if the API server does not answer. */
  async #findControllers(evictions: Evictions, signal: AbortSignal): Promise<void> {
    try {
      await this.#parts.controllers.find(evictions.controllers, signal)
    } catch (error) {
      if (error instanceof ApiError && error.status === undefined) throw error
      signal.throwIfAborted()
      this.#rateLimitedLog.warning('controllers', `cannot look at the controller of an evicted pod: ${messageOf(error)}`)
    }
  }

  /** Looks at the pod once more, and evicts it if it still must be. */
  async #evict({ pod: { namespace, name, uid } }: Judged, term: Term, evictions: Evictions): Promise<Outcome> {
    const { api, events, log, pods, rules, drivers, nodes, onAttempt } = this.#parts
    const pod = await this.#read(namespace, name, term.signal)
    if (pod?.uid !== uid) return 'again'
    pods.observe(pod)
    const verdict = judge(pod, rules, this.#facts())
    if (verdict.kind !== 'evict') return 'again'
    if (await nodes.isSilent(pod, drivers.of(pod, verdict.cause.volume.name), term.signal)) return 'left'
    evictions.add(pod, pods.all)
    try {
      // Another leader must know of it, and there must be none yet.
      await term.annotate({ [EVICTIONS]: evictions.text() })
    } catch (error) {
      evictions.remove(uid)
      this.#outdated = true
      throw error
    }
    const because = this.#because(pod, verdict.cause)
    const { resourceVersion } = pod
    const body = {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { namespace, name },
      // The pod that was looked at, and not a later one.
      deleteOptions: { preconditions: { uid, resourceVersion } },
    }
    try {
      await api.request('POST', `${podPath(namespace, name)}/eviction`, { body, signal: term.signal })
    } catch (error) {
      // Without an answer it may have taken place, and counts until the pod shows it.
      if (error instanceof ApiError && error.status !== undefined) {
        evictions.remove(uid)
        this.#outdated = true
      }
      const outcome = await this.#notEvicted(pod, because, error, term.signal)
      await this.#takeOut(term, evictions)
      return outcome
    }
    this.#refusals.delete(uid)
    onAttempt('evicted')
    log.info(`Evicted pod ${podName(pod)}: ${because}`)
    const { controller } = pod
    const owner = controller === undefined ? 'nothing replaces it' : `${controller.kind} ${controller.name} replaces it`
    await events.write(pod, 'Normal', 'EvictedInaccessibleVolume', `Evicted: ${because}; ${owner}`, term.signal)
    return 'evicted'
  }

  /** Takes refused evictions out of the lease: they do not count for the next leader. */
  async #takeOut(term: Term, evictions: Evictions): Promise<void> {
    if (!this.#outdated) return
    await term.annotate({ [EVICTIONS]: evictions.text() })
    this.#outdated = false
  }

  async #notEvicted(pod: Pod, because: string, error: unknown, signal: AbortSignal): Promise<Outcome> {
    const { events, onAttempt } = this.#parts
    signal.throwIfAborted()
    // It has changed or gone since it was read.
    if (hasStatus(error, 409) || hasStatus(error, 404)) return 'again'
    this.#refuse(pod, error instanceof ApiError ? (error.retryAfter ?? 0) : 0)
    const why = messageOf(error)
    if (error instanceof ApiError && error.causes.includes(BUDGET)) {
      onAttempt('refused')
      this.#rateLimitedLog.info('budget', `A disruption budget does not let pod ${podName(pod)} be evicted: ${because}`)
      const note = `${because}. A disruption budget does not let the pod be evicted now; it is tried again. ${why}`
      await events.write(pod, 'Warning', 'EvictionRefusedByBudget', note, signal)
      return 'refused'
    }
    onAttempt('failed')
    this.#rateLimitedLog.warning('evict', `cannot evict pod ${podName(pod)}: ${why}; it is tried again`)
    await events.write(pod, 'Warning', 'EvictionFailed', `${because}. The pod cannot be evicted: ${why}; it is tried again`, signal)
    return 'refused'
  }

  /** The pod as the API server has it now, if the selector still selects it. A list request, for which the right to watch pods suffices. */
  async #read(namespace: string, name: string, signal: AbortSignal): Promise<Pod | undefined> {
    const { api, selector, driverName } = this.#parts
    const query = { fieldSelector: `metadata.name=${name}`, labelSelector: selector }
    const { items } = checked(LIST, await api.request('GET', podPath(namespace), { query, signal }))
    const [found] = items
    return found === undefined ? undefined : parsePod(found, driverName)
  }

  #facts(): Facts {
    const { clock, drivers, nodes, pods } = this.#parts
    return {
      now: clock.monotonic(),
      driverOf: (pod, volume) => drivers.of(pod, volume),
      sinceOf: ({ uid }, volume) => pods.since.of(uid, volume),
      retryAt: (pod, volume) => {
        const until = this.#refusals.get(pod.uid)?.until
        const look = nodes.lookAt(pod, drivers.of(pod, volume))
        return until === undefined || look === undefined ? (until ?? look) : Math.max(until, look)
      },
    }
  }

  #refuse({ uid }: Pod, least: number): void {
    const { clock, limits } = this.#parts
    const refusal = this.#refusals.get(uid) ?? { backoff: new Backoff(limits.refused), until: 0 }
    refusal.until = clock.monotonic() + Math.max(refusal.backoff.next(), least)
    this.#refusals.set(uid, refusal)
  }

  /** Forgets what it knows of pods that are no more, or are well. */
  #forget(): void {
    const { pods, drivers, nodes, events } = this.#parts
    const isThere = (uid: string): boolean => pods.get(uid) !== undefined
    drivers.keep(isThere)
    events.keep(isThere)
    nodes.keep(new Set([...pods.all].filter(({ inaccessible }) => inaccessible.length > 0).map(({ node }) => node)))
    for (const uid of this.#refusals.keys()) if ((pods.get(uid)?.inaccessible ?? []).length === 0) this.#refusals.delete(uid)
  }

  #earlierEvictions({ annotations }: Term): Evictions {
    const { clock, limits, log } = this.#parts
    try {
      return new Evictions(clock, limits, annotations[EVICTIONS])
    } catch (error) {
      log.warning(`the lease's annotation ${EVICTIONS} is ignored, and with it earlier evictions: ${messageOf(error)}`)
      return new Evictions(clock, limits)
    }
  }

  #because({ claims }: Pod, { volume, since }: Cause): string {
    const name = claims.get(volume.name)
    const claim = name === undefined ? '' : ` (claim ${name})`
    const seconds = Math.round((this.#parts.clock.monotonic() - since) / 1000)
    const reasons = volume.reasons.map((reason) => oneLine(reason)).join(', ')
    return `volume ${volume.name}${claim} has been inaccessible for ${seconds} s: ${reasons}`
  }
}

/** The path of a pod, or of all pods of a namespace. */
function podPath(namespace: string, name?: string): string {
  const pods = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`
  return name === undefined ? pods : `${pods}/${encodeURIComponent(name)}`
}
