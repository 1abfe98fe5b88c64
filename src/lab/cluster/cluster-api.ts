import { array, looseObject, optional, string, type InferOutput } from 'valibot'
import { type ApiServer, hasStatus } from '../../kubernetes/api-server.ts'
import { checked } from '../../schema.ts'
import type { KubeObject } from './objects.ts'

/** Of any object. */
const NAMED = looseObject({
  metadata: looseObject({
    name: string(),
    uid: optional(string(), ''),
    creationTimestamp: optional(string(), ''),
  }),
})

const LIST = looseObject({ items: array(NAMED) })

/** An object as the API server has it. Fields that are not named here stay. */
export type Stored = InferOutput<typeof NAMED>

/** The collections that the lab uses. */
export const PATHS = {
  namespaces: '/api/v1/namespaces',
  nodes: '/api/v1/nodes',
  volumes: '/api/v1/persistentvolumes',
  drivers: '/apis/storage.k8s.io/v1/csidrivers',
  csiNodes: '/apis/storage.k8s.io/v1/csinodes',
  pods: (namespace: string) => `/api/v1/namespaces/${namespace}/pods`,
  claims: (namespace: string) => `/api/v1/namespaces/${namespace}/persistentvolumeclaims`,
  events: (namespace: string) => `/api/v1/namespaces/${namespace}/events`,
  daemonSets: (namespace: string) => `/apis/apps/v1/namespaces/${namespace}/daemonsets`,
} as const

const EVENT = looseObject({ reason: optional(string(), ''), message: optional(string(), '') })

/** Objects of an API server, for as long as a signal is not aborted. Each method rejects with ApiError, or with the signal's reason. */
export class ClusterApi {
  readonly server: ApiServer
  readonly signal: AbortSignal

  constructor(server: ApiServer, signal: AbortSignal) {
    this.server = server
    this.signal = signal
  }

  /** The same, with another signal. */
  until(signal: AbortSignal): ClusterApi {
    return new ClusterApi(this.server, signal)
  }

  /** `path`: of a collection. */
  async create(path: string, object: KubeObject): Promise<Stored> {
    return checked(NAMED, await this.server.request('POST', path, { body: object, signal: this.signal }))
  }

  /** Whatever a path gives. */
  async read(path: string): Promise<unknown> {
    return await this.server.request('GET', path, { signal: this.signal })
  }

  /** An object; undefined if there is none. */
  async get(path: string, name: string): Promise<Stored | undefined> {
    const found = await this.server.find(`${path}/${name}`, { signal: this.signal })
    return found === undefined ? undefined : checked(NAMED, found)
  }

  /** The objects that a label selector or a field selector chooses. */
  async list(path: string, query: { labelSelector?: string; fieldSelector?: string } = {}): Promise<readonly Stored[]> {
    return checked(LIST, await this.server.request('GET', path, { query, signal: this.signal })).items
  }

  /** The last event of an object that says that something has failed: `FailedMount: MountVolume.SetUp failed …`; undefined if there is none. */
  async lastFailure(namespace: string, name: string): Promise<string | undefined> {
    const events = await this.list(PATHS.events(namespace), { fieldSelector: `involvedObject.name=${name},type=Warning` })
    const failures = events.map((one) => checked(EVENT, one)).filter(({ reason }) => reason.startsWith('Failed'))
    const last = failures.at(-1)
    return last === undefined ? undefined : `${last.reason}: ${last.message}`
  }

  /** Replaces the spec of an object by that of another one. */
  async replaceSpec(path: string, name: string, { spec }: KubeObject): Promise<void> {
    const stored = await this.get(path, name)
    if (stored === undefined) throw new Error(`${path}/${name} is gone`)
    await this.server.request('PUT', `${path}/${name}`, { body: { ...stored, spec }, signal: this.signal })
  }

  /** Deletes an object; the garbage collector deletes what it owns. One that is not there is no failure. */
  async remove(path: string, name: string): Promise<void> {
    try {
      await this.server.request('DELETE', `${path}/${name}`, { signal: this.signal })
    } catch (error) {
      if (!hasStatus(error, 404)) throw error
    }
  }
}
