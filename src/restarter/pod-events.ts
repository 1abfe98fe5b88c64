import type { ApiServer } from '../kubernetes/api-server.ts'
import { messageOf } from '../errors.ts'
import { microTime } from '../kubernetes/lease.ts'
import type { Logger } from '../log.ts'
import type { Clock } from '../os/clock.ts'
import { randomHex } from '../os/random.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'
import { shortened } from '../printable.ts'
import { type Pod, podName } from './pod.ts'

/** What an event says in its field `reason`. */
export type EventReason = 'EvictedInaccessibleVolume' | 'EvictionRefusedByBudget' | 'EvictionFailed' | 'NotEvictedNoController'

/** The limits of the API server, in bytes (pkg/apis/core/validation/events.go, ReportingInstanceLengthLimit, NoteLengthLimit), and of a name. */
const LONGEST = { instance: 128, note: 1024, name: 200 }

/** Writes events (events.k8s.io/v1) that belong to pods; `kubectl describe pod` and `kubectl events` show them. */
export class PodEvents {
  readonly #api: ApiServer
  readonly #identity: string
  readonly #repeat: number
  readonly #clock: Clock
  readonly #rateLimitedLog: RateLimitedLog
  /** By the pod's uid and the reason, when the last event was written. */
  readonly #last = new Map<string, Map<EventReason, number>>()

  /** `repeat`: milliseconds after which the same event of a pod is written again. `identity` names this process. */
  constructor(api: ApiServer, identity: string, repeat: number, clock: Clock, log: Logger) {
    this.#api = api
    this.#identity = identity
    this.#repeat = repeat
    this.#clock = clock
    this.#rateLimitedLog = new RateLimitedLog(log)
  }

  /** Writes an event. Resolves to false if the same one was written a short time ago, and this one is not. A failure is logged and nothing else. */
  async write(pod: Pod, type: 'Normal' | 'Warning', reason: EventReason, note: string, signal: AbortSignal): Promise<boolean> {
    const now = this.#clock.monotonic()
    const last = this.#last.get(pod.uid) ?? new Map<EventReason, number>()
    if (now < (last.get(reason) ?? -Infinity) + this.#repeat) return false
    this.#last.set(pod.uid, last.set(reason, now))
    const { namespace, name, uid, resourceVersion } = pod
    const body = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { namespace, name: eventName(name) },
      eventTime: microTime(this.#clock.wall()),
      reportingController: 'dummy-fuse-csi/restarter',
      reportingInstance: shortened(this.#identity, LONGEST.instance),
      action: 'Evict',
      reason,
      regarding: { apiVersion: 'v1', kind: 'Pod', namespace, name, uid, resourceVersion },
      note: shortened(note, LONGEST.note),
      type,
    }
    try {
      await this.#api.request('POST', `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/events`, { body, signal })
    } catch (error) {
      if (!signal.aborted)
        this.#rateLimitedLog.warning('event', `cannot write the event ${reason} of pod ${podName(pod)}: ${messageOf(error)}`)
    }
    return true
  }

  /** Forgets the pods that are no more. */
  keep(isThere: (uid: string) => boolean): void {
    for (const uid of this.#last.keys()) if (!isThere(uid)) this.#last.delete(uid)
  }
}

/** As client-go names events: the name of the object and a number. The API server takes no generateName that ends with a dot. */
function eventName(pod: string): string {
  return `${pod.slice(0, LONGEST.name).replace(/[-.]+$/, '')}.${randomHex(8)}`
}
