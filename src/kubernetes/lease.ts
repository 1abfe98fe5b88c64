import { looseObject, nullish, number, optional, record, string, type InferOutput } from 'valibot'
import { checked } from '../schema.ts'
import type { ApiServer } from './api-server.ts'

/** A Lease (k8s.io/api, coordination/v1/types.go). Fields that this file does not name stay as they are when it is written again. */
const LEASE = looseObject({
  metadata: looseObject({
    name: string(),
    resourceVersion: string(),
    annotations: optional(record(string(), string()), {}),
  }),
  spec: optional(
    looseObject({
      holderIdentity: nullish(string(), ''),
      leaseDurationSeconds: nullish(number(), 0),
      acquireTime: nullish(string(), ''),
      renewTime: nullish(string(), ''),
      leaseTransitions: nullish(number(), 0),
    }),
    {},
  ),
})

export type Lease = InferOutput<typeof LEASE>

/** The fields of a lease that say who holds it; times as {@link microTime} writes them. */
export interface LeaseHolder {
  readonly holderIdentity: string
  /** Above 0: the API server refuses anything else. */
  readonly leaseDurationSeconds: number
  readonly acquireTime: string
  readonly renewTime: string
  readonly leaseTransitions: number
}

/** How long a request may take, and what aborts it. */
export interface RequestTime {
  readonly signal: AbortSignal
  /** Milliseconds. */
  readonly time: number
}

/** One lease of an API server. Each method rejects with ApiError, or with Error for an answer that is no lease. */
export class LeaseObject {
  readonly #api: ApiServer
  readonly #namespace: string
  readonly #name: string

  constructor(api: ApiServer, namespace: string, name: string) {
    this.#api = api
    this.#namespace = namespace
    this.#name = name
  }

  get path(): string {
    return `${this.#collection}/${encodeURIComponent(this.#name)}`
  }

  get #collection(): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(this.#namespace)}/leases`
  }

  /** Undefined if there is no such lease. */
  async read(request: RequestTime): Promise<Lease | undefined> {
    const found = await this.#api.find(this.path, request)
    return found === undefined ? undefined : checked(LEASE, found)
  }

  /** Status 409 if there is such a lease. */
  async create(holder: LeaseHolder, request: RequestTime): Promise<Lease> {
    const metadata = { name: this.#name, namespace: this.#namespace }
    const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec: holder }
    return checked(LEASE, await this.#api.request('POST', this.#collection, { ...request, body }))
  }

  /** Replaces the lease. Status 409 if it has changed since it was read. Annotations are added to those that it has. */
  async update(
    lease: Lease,
    holder: LeaseHolder,
    annotations: Readonly<Record<string, string>>,
    request: RequestTime,
  ): Promise<Lease> {
    const metadata = { ...lease.metadata, annotations: { ...lease.metadata.annotations, ...annotations } }
    const body = { ...lease, metadata, spec: { ...lease.spec, ...holder } }
    return checked(LEASE, await this.#api.request('PUT', this.path, { ...request, body }))
  }
}

/** A time as metav1.MicroTime has it: RFC 3339 with six digits behind the second. `wall`: milliseconds since 1970. */
export function microTime(wall: number): string {
  return new Date(wall).toISOString().replace('Z', '000Z')
}
