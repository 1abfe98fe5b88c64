import { setTimeout as sleep } from 'node:timers/promises'
import { Watch } from '@kubernetes/client-node'
import { array, number, object, optional, string, unknown } from 'valibot'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { Backoff, type BackoffLimits } from '../os/backoff.ts'
import type { Clock } from '../os/clock.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'
import { checked } from '../schema.ts'
import { ApiError, type ApiServer, hasStatus, reasonOf } from './api-server.ts'

/** The limits of a watch; times are milliseconds. */
export interface WatchLimits {
  /** Objects in an answer to a list request. */
  readonly page: number
  /** After which all objects are listed again, though the watch runs. */
  readonly resync: number
  /** After which a watch is made again. A server sends a bookmark before its end; if nothing has come, all objects are listed. */
  readonly watch: number
  /** A watch that ends sooner, and has brought nothing, counts as failed. */
  readonly shortest: number
  readonly retry: BackoffLimits
}

/** Takes the objects of a watch. */
export interface WatchSink {
  /** All objects that there are. */
  readonly replace: (objects: readonly unknown[]) => void
  /** An object was added or changed. */
  readonly changed: (object: unknown) => void
  readonly deleted: (object: unknown) => void
  /** What was taken before is what the server has at this moment. */
  readonly upToDate: () => void
  /** The watch has failed: what was taken may be old, until {@link upToDate} is called again. */
  readonly interrupted: () => void
}

const LIST = object({
  metadata: object({ resourceVersion: string(), continue: optional(string()) }),
  items: array(unknown()),
})
const VERSION = object({ metadata: object({ resourceVersion: string() }) })
const STATUS = object({ code: optional(number()), message: optional(string(), '') })

/** 410 Gone: the server has no history any more that reaches back to the version. */
const GONE = 410

/** The end of a watch that the client ends when nothing comes for 30 s (its requestTimeoutMs). */
const SILENT = 'TimeoutError'

/**
 * Keeps a sink up to date with the objects of a path: lists them, watches from there on, and lists again after a failure, after a watch that has brought
 * nothing, and at intervals. The client's informer (ListWatch) is not used: it stops at the first failure, and cannot be stopped while it connects.
 */
export class ObjectWatch {
  readonly #api: ApiServer
  readonly #path: string
  readonly #query: Readonly<Record<string, string | undefined>>
  readonly #sink: WatchSink
  readonly #limits: WatchLimits
  readonly #clock: Clock
  readonly #log: Logger
  /** The version from which the next watch goes on; undefined: all objects are listed first. */
  #version: string | undefined
  /** The last watch has brought something. */
  #heard = false

  /** `path` is that of the list (`/api/v1/pods`); `query` selects its objects. */
  constructor(parts: {
    api: ApiServer
    path: string
    query: Readonly<Record<string, string | undefined>>
    sink: WatchSink
    limits: WatchLimits
    clock: Clock
    log: Logger
  }) {
    this.#api = parts.api
    this.#path = parts.path
    this.#query = parts.query
    this.#sink = parts.sink
    this.#limits = parts.limits
    this.#clock = parts.clock
    this.#log = parts.log
  }

  /** Runs until the signal is aborted; rejects with its reason then. Everything else that fails is logged and tried again. */
  async run(signal: AbortSignal): Promise<never> {
    const { resync, watch, retry, shortest } = this.#limits
    const backoff = new Backoff(retry)
    let isGone = false
    const rateLimitedLog = new RateLimitedLog(this.#log)
    let listed = 0
    for (;;) {
      const began = this.#clock.monotonic()
      try {
        if (this.#version === undefined || began - listed >= resync) {
          this.#version = await this.#list(signal)
          listed = began
        }
        await this.#watch(this.#version, Math.min(listed + resync - this.#clock.monotonic(), watch), signal)
        if (!this.#heard) {
          if (this.#clock.monotonic() - began < shortest) throw new Error('the server ends the watch at once')
          this.#version = undefined
        }
        backoff.reset()
        isGone = false
      } catch (error) {
        signal.throwIfAborted()
        this.#sink.interrupted()
        // The first events of a watch that goes on after an interruption would be old, and the server may not take the version.
        this.#version = undefined
        // The server answers: an outage before is over.
        if (hasStatus(error, GONE) && !isGone) backoff.reset()
        isGone = hasStatus(error, GONE)
        const pause = backoff.next()
        rateLimitedLog.warning(
          'watch',
          `cannot watch ${this.#path} of ${this.#api.cluster.server}: ${reasonOf(error)}; next attempt in ${pause / 1000} s`,
        )
        await sleep(pause, undefined, { signal })
      }
    }
  }

  /** Returns the version of the list. */
  async #list(signal: AbortSignal): Promise<string> {
    const objects: unknown[] = []
    let next: string | undefined
    for (;;) {
      const query = { ...this.#query, limit: String(this.#limits.page), continue: next }
      const answer = checked(LIST, await this.#api.request('GET', this.#path, { query, signal }))
      for (const one of answer.items) objects.push(one)
      next = answer.metadata.continue
      if (next !== undefined && next !== '') continue
      this.#sink.replace(objects)
      this.#sink.upToDate()
      return answer.metadata.resourceVersion
    }
  }

  /** Resolves when the server or the time ends the watch. Rejects with ApiError or what the connection failed with. */
  async #watch(version: string, time: number, signal: AbortSignal): Promise<void> {
    this.#heard = false
    const { promise: over, resolve, reject } = Promise.withResolvers<undefined>()
    over.catch(() => undefined)
    // What this throws, the client would take for a line that is not JSON.
    const onEvent = (type: string, subject: unknown): void => {
      this.#heard = true
      try {
        if (type === 'ERROR') {
          const { code, message } = checked(STATUS, subject)
          throw new ApiError(`HTTP status ${code ?? 'unknown'}: ${message}`, code ?? GONE)
        }
        const { metadata } = checked(VERSION, subject)
        if (type === 'ADDED' || type === 'MODIFIED') this.#sink.changed(subject)
        else if (type === 'DELETED') this.#sink.deleted(subject)
        this.#sink.upToDate()
        this.#version = metadata.resourceVersion
      } catch (error) {
        reject(error)
      }
    }
    const onEnd = (error: unknown): void => {
      if (error === null || error === undefined || (error instanceof DOMException && error.name === SILENT)) resolve(undefined)
      else reject(failureOf(error))
    }
    const timeout = Math.max(Math.ceil(time / 1000), 1)
    const query = { ...this.#query, resourceVersion: version, allowWatchBookmarks: true, timeoutSeconds: timeout }
    const started = new Watch(this.#api.cluster.config).watch(this.#path, query, onEvent, onEnd)
    const stop = (): void => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    try {
      signal.throwIfAborted()
      started.catch(reject)
      await over
    } finally {
      signal.removeEventListener('abort', stop)
      // A watch that still connects ends when it has.
      started.then(
        (request) => request.abort(),
        () => undefined,
      )
    }
  }
}

/** The client names a refusal by an Error with the HTTP status. */
function failureOf(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(messageOf(error))
  const { statusCode } = error as { statusCode?: unknown }
  return typeof statusCode === 'number' ? new ApiError(`HTTP status ${statusCode}: ${error.message}`, statusCode) : error
}
