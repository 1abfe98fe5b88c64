import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Clock } from '../os/clock.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'
import { hasStatus } from './api-server.ts'
import { type Lease, type LeaseHolder, type LeaseObject, microTime } from './lease.ts'

/** The times of an election, in milliseconds; their names and relations are those of client-go. */
interface ElectionLimits {
  /** After which a lease that was not renewed is another's to take. A multiple of 1000. */
  readonly leaseDuration: number
  /** After which a leader that could not renew the lease stops to lead. */
  readonly renewDeadline: number
  /** Between two attempts to acquire or renew. */
  readonly retryPeriod: number
  /** For giving the lease back. */
  readonly release: number
}

/** The time between an acquired lease and its loss. */
export interface Term {
  /** Aborted when the lease is lost, or is to be given back. */
  readonly signal: AbortSignal
  /** The annotations that the lease had when it was acquired. */
  readonly annotations: Readonly<Record<string, string>>
  /**
   * Renews the lease with these annotations. When it resolves, this process has been the leader during the request, and whoever is the next leader
   * reads them. Rejects if that is not known.
   */
  readonly annotate: (annotations: Readonly<Record<string, string>>) => Promise<void>
}

/** The parts of {@link LeaderElection}. */
export interface ElectionParts {
  readonly lease: LeaseObject
  /** Differs from that of each other candidate, and from that of an earlier process. */
  readonly identity: string
  readonly limits: ElectionLimits
  readonly clock: Clock
  readonly log: Logger
}

/** Of the retry period: candidates that start together do not ask together for ever. client-go's JitterFactor. */
const JITTER = 1.2

/** What a lease is renewed with after it is lost. */
const LOST = 'the lease is lost'

/**
 * Elects one of several processes by a Lease, by the rules of client-go (tools/leaderelection/leaderelection.go), and so beside candidates that use that.
 * No clocks are compared: a lease is free when it has not changed for its duration, by the clock of the candidate that watches it. The client library
 * has no leader election.
 */
export class LeaderElection {
  readonly #parts: ElectionParts
  readonly #rateLimitedLog: RateLimitedLog
  #lease: Lease | undefined
  /** What {@link changed} tells a change of the lease by, and when this process has seen it. */
  #observed = { state: '', at: 0 }
  /** When the last request that renewed the lease was begun. */
  #renewed = 0
  #queue: Promise<unknown> = Promise.resolve()

  constructor(parts: ElectionParts) {
    this.#parts = parts
    this.#rateLimitedLog = new RateLimitedLog(parts.log)
  }

  /**
   * Acquires the lease again and again, and calls `lead` with each term. Ends when the signal is aborted and `lead` has ended, and gives the lease back
   * before. What `lead` rejects with while its term lasts ends the election with it.
   */
  async run(signal: AbortSignal, lead: (term: Term) => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await this.#acquire(signal)
      } catch (error) {
        if (signal.aborted) return
        throw error
      }
      await this.#serve(signal, lead)
    }
  }

  /** Resolves when the term is over and the lease is given back. */
  async #serve(signal: AbortSignal, lead: (term: Term) => Promise<void>): Promise<void> {
    const { log, identity } = this.#parts
    log.info(`Leading as ${identity}`)
    const term = new AbortController()
    const either = AbortSignal.any([signal, term.signal])
    const renewing = this.#renew(either).catch((error: unknown) => {
      if (either.aborted) return
      log.warning(`no longer the leader: ${messageOf(error)}`)
      term.abort(error)
    })
    try {
      await lead({
        signal: either,
        annotations: this.#lease?.metadata.annotations ?? {},
        annotate: async (annotations) => await this.#exclusive(async () => await this.#write(annotations, either)),
      })
    } catch (error) {
      if (!either.aborted) throw error
    } finally {
      term.abort()
      await renewing
      await this.#exclusive(async () => await this.#release())
    }
  }

  /** Rejects when the signal is aborted. */
  async #acquire(signal: AbortSignal): Promise<void> {
    const { retryPeriod } = this.#parts.limits
    for (;;) {
      try {
        if (await this.#tryToAcquire(signal)) return
      } catch (error) {
        signal.throwIfAborted()
        this.#rateLimitedLog.warning('acquire', `cannot acquire the lease ${this.#parts.lease.path}: ${messageOf(error)}`)
      }
      await sleep(retryPeriod * (1 + Math.random() * JITTER), undefined, { signal })
    }
  }

  async #tryToAcquire(signal: AbortSignal): Promise<boolean> {
    const { lease, limits, clock, identity, log } = this.#parts
    const request = { signal, time: limits.renewDeadline }
    const found = await lease.read(request)
    const began = clock.monotonic()
    try {
      if (found === undefined) this.#lease = await lease.create(this.#holder(0), request)
      else {
        const before = this.#observed.state
        this.#observe(found)
        const { holderIdentity, leaseDurationSeconds, leaseTransitions } = holderOf(found)
        const free = this.#observed.at + leaseDurationSeconds * 1000 <= clock.monotonic()
        if (holderIdentity !== '' && holderIdentity !== identity && !free) {
          if (before === '') log.info(`Waiting for the lease that ${holderIdentity} holds`)
          return false
        }
        this.#lease = await lease.update(found, this.#holder(leaseTransitions + 1), {}, request)
      }
    } catch (error) {
      // Another candidate was faster.
      if (hasStatus(error, 409)) return false
      throw error
    }
    this.#observe(this.#lease)
    this.#renewed = began
    return true
  }

  /** Rejects when the lease is lost or the signal is aborted. */
  async #renew(signal: AbortSignal): Promise<never> {
    for (;;) {
      await sleep(this.#parts.limits.retryPeriod, undefined, { signal })
      try {
        await this.#exclusive(async () => await this.#write({}, signal))
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof LeaseLost || this.#left() <= 0) throw error
        this.#rateLimitedLog.warning('renew', `cannot renew the lease ${this.#parts.lease.path}: ${messageOf(error)}`)
      }
    }
  }

  /** Renews the lease. Rejects with LeaseLost if another holds it or the deadline is over. */
  async #write(annotations: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
    const { lease, clock, identity } = this.#parts
    signal.throwIfAborted()
    for (let attempt = 0; ; attempt++) {
      if (this.#lease === undefined || this.#left() <= 0) throw new LeaseLost(LOST)
      const began = clock.monotonic()
      const request = { signal, time: this.#left() }
      const { acquireTime, leaseTransitions } = holderOf(this.#lease)
      try {
        this.#lease = await lease.update(this.#lease, { ...this.#holder(leaseTransitions), acquireTime }, annotations, request)
        this.#observe(this.#lease)
        this.#renewed = began
        return
      } catch (error) {
        if (!hasStatus(error, 409) || attempt > 0) throw error
      }
      // A renewal that was not answered may have been carried out.
      this.#lease = await lease.read({ signal, time: Math.max(this.#left(), 1) })
      if (this.#lease !== undefined && holderOf(this.#lease).holderIdentity === identity) continue
      const other = this.#lease === undefined ? 'it was deleted' : `${holderOf(this.#lease).holderIdentity} holds it`
      this.#lease = undefined
      throw new LeaseLost(`${LOST}: ${other}`)
    }
  }

  /** As client-go's ReleaseOnCancel: without a holder and with the shortest duration, so that a candidate takes it at its next look. */
  async #release(): Promise<void> {
    const { lease, limits, clock, identity, log } = this.#parts
    const request = { signal: new AbortController().signal, time: limits.release }
    this.#lease = undefined
    try {
      const found = await lease.read(request)
      if (found === undefined || holderOf(found).holderIdentity !== identity) return
      const now = microTime(clock.wall())
      const { leaseTransitions } = holderOf(found)
      const free = { holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now, leaseTransitions }
      await lease.update(found, free, {}, request)
      log.info('The lease is given back')
    } catch (error) {
      log.warning(
        `cannot give the lease ${lease.path} back: ${messageOf(error)}; the next leader waits until ${limits.leaseDuration / 1000} s after its last renewal`,
      )
    }
  }

  /** Milliseconds for which this process may still lead without a renewal. */
  #left(): number {
    return this.#renewed + this.#parts.limits.renewDeadline - this.#parts.clock.monotonic()
  }

  #holder(leaseTransitions: number): LeaseHolder {
    const { identity, limits, clock } = this.#parts
    const now = microTime(clock.wall())
    return {
      holderIdentity: identity,
      leaseDurationSeconds: limits.leaseDuration / 1000,
      acquireTime: now,
      renewTime: now,
      leaseTransitions,
    }
  }

  #observe(lease: Lease): void {
    const state = JSON.stringify(holderOf(lease))
    if (state !== this.#observed.state) this.#observed = { state, at: this.#parts.clock.monotonic() }
  }

  /** Requests that write the lease follow one another, for each needs the version that the one before has made. */
  async #exclusive<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(act, act)
    this.#queue = turn.catch(() => undefined)
    return await turn
  }
}

/** This process does not hold the lease any more. */
class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
}

function holderOf({ spec }: Lease): LeaseHolder {
  const { holderIdentity, leaseDurationSeconds, acquireTime, renewTime, leaseTransitions } = spec
  return { holderIdentity, leaseDurationSeconds, acquireTime, renewTime, leaseTransitions }
}
