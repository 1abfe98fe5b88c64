import { array, boolean, nullish, number, object, optional, string } from 'valibot'
import type { ApiServer } from '../kubernetes/api-server.ts'
import type { Clock } from '../os/clock.ts'
import { checked } from '../schema.ts'
import type { Pod } from './pod.ts'

/** A controller of pods. */
export interface ControllerReference {
  readonly uid: string
  /** Where the API server has it; undefined for a kind that does not say how many pods it wants. */
  readonly path?: string | undefined
}

/** The kinds that say how many pods they want, by apiVersion and kind. */
const RESOURCES: ReadonlyMap<string, { readonly api: string; readonly resource: string }> = new Map([
  ['apps/v1 ReplicaSet', { api: '/apis/apps/v1', resource: 'replicasets' }],
  ['apps/v1 StatefulSet', { api: '/apis/apps/v1', resource: 'statefulsets' }],
  ['apps/v1 DaemonSet', { api: '/apis/apps/v1', resource: 'daemonsets' }],
  ['batch/v1 Job', { api: '/apis/batch/v1', resource: 'jobs' }],
  ['v1 ReplicationController', { api: '/api/v1', resource: 'replicationcontrollers' }],
])

/** The fields of these kinds that count (k8s.io/api: apps/v1/types.go, batch/v1/types.go, core/v1/types.go). */
const CONTROLLER = object({
  metadata: object({ uid: string(), deletionTimestamp: nullish(string()) }),
  spec: optional(object({ replicas: nullish(number()), suspend: nullish(boolean(), false) }), { suspend: false }),
  status: optional(
    object({
      desiredNumberScheduled: optional(number()),
      conditions: optional(array(object({ type: string(), status: string() })), []),
    }),
    { conditions: [] },
  ),
})

/** The conditions of a Job that makes no more pods. */
const OVER: ReadonlySet<string> = new Set(['Complete', 'Failed', 'SuccessCriteriaMet', 'FailureTarget'])

/** The controller of a pod; undefined if it has none. */
export function controllerOf({ namespace, controller }: Pod): ControllerReference | undefined {
  if (controller === undefined) return undefined
  const { apiVersion, kind, name, uid } = controller
  const found = RESOURCES.get(`${apiVersion} ${kind}`)
  if (found === undefined) return { uid }
  const { api, resource } = found
  return { uid, path: `${api}/namespaces/${encodeURIComponent(namespace)}/${resource}/${encodeURIComponent(name)}` }
}

/** Finds how many pods controllers want. */
export class Controllers {
  readonly #api: ApiServer
  readonly #clock: Clock
  readonly #age: number
  /** By the controller's uid. */
  readonly #known = new Map<string, { readonly wanted: number; readonly at: number }>()

  /** `age`: milliseconds after which a controller is looked at again. */
  constructor(api: ApiServer, clock: Clock, age: number) {
    this.#api = api
    this.#clock = clock
    this.#age = age
  }

  /** What {@link find} has found; 0 for a controller that is gone, undefined if it is not known. */
  wanted(uid: string): number | undefined {
    return this.#known.get(uid)?.wanted
  }

  /** Looks at controllers, and forgets all others. Rejects with ApiError, or with Error for an answer that is no controller. */
  async find(references: readonly ControllerReference[], signal: AbortSignal): Promise<void> {
    const uids = new Set(references.map(({ uid }) => uid))
    for (const uid of this.#known.keys()) if (!uids.has(uid)) this.#known.delete(uid)
    for (const { uid, path } of references) {
      const at = this.#clock.monotonic()
      const known = this.#known.get(uid)
      if (path === undefined || (known !== undefined && at < known.at + this.#age)) continue
      this.#known.delete(uid)
      this.#known.set(uid, { wanted: await this.#look(uid, path, signal), at })
    }
  }

  async #look(uid: string, path: string, signal: AbortSignal): Promise<number> {
    const found = await this.#api.find(path, { signal })
    if (found === undefined) return 0
    const { metadata, spec, status } = checked(CONTROLLER, found)
    const isOver = status.conditions.some((condition) => OVER.has(condition.type) && condition.status === 'True')
    if (metadata.uid !== uid || typeof metadata.deletionTimestamp === 'string' || spec.suspend || isOver) return 0
    // A Job that is not over makes pods until it is.
    return spec.replicas ?? status.desiredNumberScheduled ?? Infinity
  }
}
