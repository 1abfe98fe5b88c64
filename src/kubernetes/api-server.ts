import { type HttpMethod, IsomorphicFetchHttpLibrary, RequestContext } from '@kubernetes/client-node'
import { array, object, optional, string } from 'valibot'
import { unlessAborted } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import type { Clock } from '../os/clock.ts'
import { jsonOrUndefined } from '../schema.ts'
import type { Cluster } from './cluster.ts'

/** The times of requests, in milliseconds. */
export interface RequestLimits {
  /** The time of a request that names none. */
  readonly request: number
  /** For which connections, and the certificates that they were made with, are used again. */
  readonly connections: number
}

/** A request; `query` holds the parameters that have a value. */
export interface ApiRequest {
  readonly query?: Readonly<Record<string, string | undefined>>
  /** Sent as JSON. */
  readonly body?: object
  readonly signal: AbortSignal
  /** Milliseconds until the whole answer must be there; {@link RequestLimits.request} if it is left out. */
  readonly time?: number
}

/** The fields of metav1.Status that say why a request failed (k8s.io/apimachinery, pkg/apis/meta/v1/types.go). */
const STATUS = object({
  message: optional(string(), ''),
  reason: optional(string(), ''),
  details: optional(object({ causes: optional(array(object({ reason: optional(string(), '') })), []) }), { causes: [] }),
})

/** The API server has refused a request, or has not answered. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** The HTTP status; undefined if there was no answer, and then it is unknown whether the request was carried out. */
  readonly status: number | undefined
  /** The types of the causes in metav1.Status, such as `DisruptionBudget`. */
  readonly causes: readonly string[]
  /** Milliseconds to wait before the next attempt, by the Retry-After header. */
  readonly retryAfter: number | undefined

  constructor(
    message: string,
    status?: number,
    { causes = [], retryAfter, cause }: { causes?: readonly string[]; retryAfter?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, { cause })
    this.status = status
    this.causes = causes
    this.retryAfter = retryAfter
  }
}

/** Whether a request was answered with this HTTP status. */
export function hasStatus(error: unknown, status: number): boolean {
  return error instanceof ApiError && error.status === status
}

type Dispatcher = NonNullable<ReturnType<RequestContext['getDispatcher']>>

/**
 * Requests to an API server, each with a deadline. Authentication and TLS are the client library's. Objects are sent and received as they are: the
 * typed classes of the client drop fields that are newer than the client, such as pod.status.volumeHealth.
 */
export class ApiServer {
  readonly cluster: Cluster
  readonly #limits: RequestLimits
  readonly #clock: Clock
  readonly #http = new IsomorphicFetchHttpLibrary()
  #connections: { readonly dispatcher: Dispatcher; readonly until: number } | undefined

  constructor(cluster: Cluster, limits: RequestLimits, clock: Clock) {
    this.cluster = cluster
    this.#limits = limits
    this.#clock = clock
  }

  /** Returns the answer's JSON. Rejects with {@link ApiError}, or with the signal's reason once that is aborted. */
  async request(method: HttpMethod, path: string, request: ApiRequest): Promise<unknown> {
    const { signal, time = this.#limits.request } = request
    signal.throwIfAborted()
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(time))])
    try {
      return await unlessAborted(this.#send(method, path, request, deadline), deadline)
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof ApiError) throw error
      this.#closeConnections()
      const why = deadline.aborted ? `none came within ${(time / 1000).toFixed(1)} s` : reasonOf(error)
      throw new ApiError(`no answer from ${this.cluster.server}: ${why}`, undefined, { cause: error })
    }
  }

  /** An object; undefined if there is none at the path. Rejects as {@link request} does. */
  async find(path: string, request: ApiRequest): Promise<unknown> {
    try {
      return await this.request('GET', path, request)
    } catch (error) {
      if (hasStatus(error, 404)) return undefined
      throw error
    }
  }

  /** Ends the connections that no request uses. */
  close(): void {
    this.#closeConnections()
  }

  async #send(method: HttpMethod, path: string, { query = {}, body }: ApiRequest, signal: AbortSignal): Promise<unknown> {
    const context = new RequestContext(this.cluster.server + path, method)
    for (const [name, value] of Object.entries(query)) if (value !== undefined) context.setQueryParam(name, value)
    context.setHeaderParam('Accept', 'application/json')
    context.setHeaderParam('User-Agent', 'dummy-fuse-csi')
    if (body !== undefined) {
      context.setHeaderParam('Content-Type', 'application/json')
      context.setBody(JSON.stringify(body))
    }
    context.setSignal(signal)
    await this.cluster.config.applySecurityAuthentication(context)
    const dispatcher = context.getDispatcher()
    if (dispatcher !== undefined) context.setDispatcher(this.#connected(dispatcher))
    const response = await this.#http.send(context).toPromise()
    const text = await response.body.text()
    if (response.httpStatusCode >= 200 && response.httpStatusCode < 300) return JSON.parse(text) as unknown
    throw failure(response.httpStatusCode, text, response.headers['retry-after'])
  }

  /** The client makes a dispatcher, and with it a connection, for each request. */
  #connected(dispatcher: Dispatcher): Dispatcher {
    const now = this.#clock.monotonic()
    if (this.#connections !== undefined && now < this.#connections.until) return this.#connections.dispatcher
    this.#closeConnections()
    this.#connections = { dispatcher, until: now + this.#limits.connections }
    return dispatcher
  }

  #closeConnections(): void {
    // Requests that are under way come to their end.
    this.#connections?.dispatcher.close().catch(() => undefined)
    this.#connections = undefined
  }
}

/** The error of a refusal: `text` is the body of the answer. */
export function failure(status: number, text: string, retryAfter: string | undefined): ApiError {
  const { message = '', details } = jsonOrUndefined(STATUS, text) ?? {}
  const seconds = Number(retryAfter)
  return new ApiError(`HTTP status ${status}${message === '' ? '' : `: ${message}`}`, status, {
    causes: details?.causes.map(({ reason }) => reason) ?? [],
    retryAfter: retryAfter !== undefined && seconds >= 0 ? seconds * 1000 : undefined,
  })
}

/** One line that says why a request failed: fetch() fails by a TypeError that has the reason as its cause. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof TypeError ? error.cause : undefined
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause
  return messageOf(first ?? error)
}
