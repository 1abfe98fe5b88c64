import { closeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CallContext, isCallEnded, throwIfOver, unlessAborted } from '../call-context.ts'
import { codeOf, errnoMeaning, messageOf } from '../errors.ts'
import type { SessionEngine } from '../fuse/session/engine.ts'
import type { Inspection } from '../fuse/session/messages.ts'
import type { SessionOutcome } from '../fuse/session/session.ts'
import { initLine } from '../fuse/session/trace.ts'
import type { Logger } from '../log.ts'
import { detachLayers } from '../os/mounts/detaching.ts'
import { type MountinfoLine, mountsOfDevice, readMountinfo } from '../os/mounts/mountinfo.ts'
import { deviceOf } from '../os/mounts/mount-table.ts'
import { FusedError, fromErrno } from './errors.ts'
import type { FdHolders } from './fd-holders.ts'
import { Paths } from './paths.ts'
import type { SessionRecord } from './session-record.ts'
import { type Mounted, Mounter, type MounterParts, type MountOrder } from './mounter.ts'
import { type HeldSession, type HostedSession, idOf, type ServedSession, type Sessions } from './sessions.ts'

/** The dependencies of {@link FusedDaemon}. */
export interface DaemonParts extends MounterParts {
  readonly engine: Pick<SessionEngine, 'attach' | 'inspect' | 'drain'>
  /** Where it has its sessions. */
  readonly sessions: Sessions
  readonly holders: Pick<FdHolders, 'supervisor' | 'lacksRoom' | 'store' | 'unstore' | 'barrier'>
  /** Whether a session whose descriptor no service manager keeps is logged as a warning. */
  readonly expectsKeeper: boolean
  readonly log: Logger
}

/** A session with the requests that it has read; `inspection` is undefined for a held session. */
export interface SessionReport {
  readonly session: HostedSession
  readonly inspection: Inspection | undefined
}

/** Serves any number of sessions. What a successor needs of each is kept outside of this process. */
export class FusedDaemon {
  readonly sessions: Sessions
  readonly #parts: DaemonParts
  readonly #mounter: Mounter
  readonly #paths = new Paths()
  /** Sessions that are being mounted. */
  #mounting = 0

  constructor(parts: DaemonParts) {
    this.sessions = parts.sessions
    this.#parts = parts
    this.#mounter = new Mounter(parts)
  }

  /**
   * Mounts a session, or returns the one that is mounted with the same options. Rejects with FusedError, `timeout` when the call's time is over; then
   * what was begun is undone, within the call's time for undoing.
   */
  async mount(order: MountOrder, call: CallContext): Promise<ServedSession> {
    using _ = await this.#take(order.path, call)
    this.#mounter.refuseEnded()
    const there = this.sessions.at(order.path)
    if (there !== undefined) {
      const usable = this.#usable(there, order)
      if (usable !== undefined) return usable
      // Another program has unmounted it. Its binds go on, and the session ends with the last of them.
      this.#parts.log.warning(`session ${idOf(there)} is no longer at ${order.path}: another mount is there`)
    }
    const session = await this.#mountKept(order, call)
    if (this.#parts.expectsKeeper && this.#parts.holders.supervisor === 'none') {
      this.#parts.log.warning(
        `no service manager keeps the descriptor of ${order.path}: its session ends with this process; use systemd or dummy-fuse-csi keep`,
      )
    }
    return session
  }

  /**
   * Unmounts the session of a path. If it has not ended after `grace` milliseconds or at the end of the call's time, its connection is aborted.
   * Returns whether there was a session.
   */
  async unmount(path: string, grace: number, call: CallContext): Promise<boolean> {
    using _ = await this.#take(path, call)
    throwIfOver(call)
    const session = this.sessions.at(path)
    if (session === undefined) return false
    this.#detach(session)
    const time = Math.min(grace, call.remaining())
    if (session.kind === 'served') await Promise.race([session.running.ended, sleep(time, undefined, { ref: false })])
    if (this.sessions.has(session)) await this.#cut(session, 'it was unmounted, and its consumers get ENOTCONN', call.cleanUp)
    else await this.#parts.holders.barrier(call.cleanUp.signal)
    return true
  }

  /** The sessions of these paths, or every session if no path is given. Throws FusedError `unavailable` if the serving thread does not answer. */
  async list(paths: readonly string[], call: CallContext): Promise<readonly HostedSession[]> {
    await this.#inspect(call)
    return paths.length === 0 ? this.sessions.all() : paths.flatMap((path) => this.sessions.at(path) ?? [])
  }

  /** One session. Throws FusedError `missing`, `unavailable`. */
  async inspect(path: string, call: CallContext): Promise<SessionReport> {
    const session = this.sessions.at(path)
    if (session === undefined) throw new FusedError('missing', `no session is served at ${path}`)
    return { session, inspection: await this.#inspect(call, idOf(session)) }
  }

  /** Resolves when the serving thread answers. */
  async answers(): Promise<void> {
    await this.#parts.engine.inspect()
  }

  /** Reads no more requests. Resolves when those that were read are answered, at the latest after `deadline` milliseconds, to whether they are. */
  async drain(deadline: number): Promise<boolean> {
    await this.settle(deadline)
    const drained = await this.#parts.engine.drain(deadline)
    if (!drained) this.#parts.log.warning('requests are still unanswered; the successor asks for them again')
    return drained
  }

  /** Asks the kernel to send again all requests that another process has read from the same devices and has not answered. */
  resend(): void {
    for (const session of this.sessions.all())
      if (session.kind === 'served' && session.record.negotiated.resend) session.running.resend()
  }

  /** Serves a session of the predecessor. */
  adopt(record: SessionRecord, fd: number): void {
    const { id, options, faults } = record
    const { resend } = record.negotiated
    const running = this.#parts.engine.attach({ id, fd, options, faults, resend, holdInit: false, inherited: true })
    this.#serve({ kind: 'served', record, running })
  }

  /** Holds a session for a newer version of the program, which can read its record. */
  hold(session: HeldSession): void {
    this.sessions.add(session)
  }

  /** Ends a held session; its consumers get ENOTCONN. */
  release(session: HeldSession, why: string): void {
    if (!this.sessions.has(session)) return
    this.#parts.log.error(`session ${session.id} is given up: ${why}; its consumers get ENOTCONN`)
    closeSync(session.fd)
    this.#forget(session)
  }

  /**
   * Unmounts what is left of a session that has ended, and removes its record. Only a dead mount is unmounted: a live one belongs to another session,
   * to which the kernel has given the same connection number.
   */
  async cleanUp(record: SessionRecord): Promise<void> {
    const { probe } = await import('../os/mounts/probe.ts')
    if (this.#stands(record) && (await probe(record.path)).kind === 'dead') this.#detachAt(record)
    this.#parts.records.remove(record.id)
  }

  /** Stores a session's descriptor again, under its id alone. */
  async keepAgain(id: string, fd: number, signal: AbortSignal): Promise<void> {
    this.#parts.holders.unstore(id)
    await this.#parts.holders.store(id, fd, signal)
  }

  /**
   * Ends every session: unmounts what is not in use. A session in use ends too, because its descriptor is not kept any more; an error is logged for
   * each.
   */
  async stop(deadline: number): Promise<void> {
    await this.settle(deadline)
    const lines = readMountinfo()
    const used = this.sessions.all().flatMap((session) => this.#unmountUnused(session, lines))
    const served = this.sessions.all().filter((session) => session.kind === 'served')
    const ends = sleep(deadline, undefined, { ref: false })
    const unused = served.filter(({ record }) => !used.includes(record.id))
    await Promise.race([Promise.all(unused.map(({ running }) => running.ended)), ends])
    for (const session of this.sessions.all()) {
      const { path } = session.record ?? { path: 'an unknown path' }
      this.#parts.log.error(
        `${path} is in use and gets ENOTCONN from now on: dummy-fused was stopped for good, and its descriptor is not kept; restart its consumers`,
      )
      if (session.kind === 'held') closeSync(session.fd)
      this.#forget(session)
    }
    await this.#parts.holders.barrier(AbortSignal.timeout(deadline)).catch((error: unknown) => {
      this.#parts.log.warning(`the service manager has not closed the descriptors of all sessions: ${messageOf(error)}`)
    })
  }

  /** Begins no more mounts. Waits for those under way at most `deadline` milliseconds, because a mount whose storage hangs would never end. */
  async settle(deadline: number): Promise<void> {
    this.#mounter.end()
    await this.#paths.idle(deadline)
    this.#mounter.abort()
    await this.#paths.idle(deadline)
  }

  /** Unmounts a session's mounts in this namespace, the last first, unless they are busy. Returns the session's id if one is busy. */
  #unmountUnused(session: HostedSession, lines: readonly MountinfoLine[]): readonly string[] {
    if (session.record === undefined) return [idOf(session)]
    const mounts = mountsOfDevice(lines, deviceOf(session.record.connection)).toReversed()
    const busy = mounts.filter(({ mountPoint }) => {
      try {
        this.#parts.libc.umount(mountPoint)
        this.#parts.log.info(`unmounted ${mountPoint}`)
        return false
      } catch (error) {
        if (codeOf(error) !== 'EBUSY') this.#parts.log.warning(`cannot unmount ${mountPoint}: ${messageOf(error)}`)
        return true
      }
    })
    return busy.length > 0 ? [idOf(session)] : []
  }

  /**
   * Ends a session that is in use: aborts its connection, so that its consumers get ENOTCONN. Rejects with Error, or the signal's reason, if that
   * takes too long; it goes on then.
   */
  async #cut(session: HostedSession, why: string, { signal }: CallContext): Promise<void> {
    const { holders, log } = this.#parts
    log.warning(`session ${idOf(session)} of ${session.record?.path ?? 'an unknown path'} ends: ${why}`)
    if (session.kind === 'served') {
      session.running.detach()
      await unlessAborted(
        session.running.ended.then(() => this.#forget(session)),
        signal,
      )
    } else {
      closeSync(session.fd)
      this.#forget(session)
    }
    // The store's copy is the last one.
    await holders.barrier(signal)
  }

  /** Removes a session from the list, from the fd store and from the state folder. Its descriptor in this process is closed already. */
  #forget(session: HostedSession): void {
    if (!this.sessions.has(session)) return
    this.sessions.remove(session)
    this.#parts.holders.unstore(idOf(session))
    this.#parts.records.remove(idOf(session))
  }

  /** Unmounts the session's own mount at its path, and each of its binds there. */
  #detach({ record }: HostedSession): void {
    if (record !== undefined) this.#detachAt(record)
  }

  #detachAt(record: SessionRecord): void {
    detachLayers(this.#parts.libc, record.path, (device) => device === deviceOf(record.connection))
  }

  #stands({ path, connection }: SessionRecord): boolean {
    const state = this.#parts.table.at(path)
    return state.kind === 'mount' && state.mount.device === deviceOf(connection)
  }

  #usable(session: HostedSession, { path, options, faults }: MountOrder): ServedSession | undefined {
    if (session.record !== undefined && !this.#stands(session.record)) return undefined
    if (session.kind === 'held') throw new FusedError('unavailable', `${path} is held for another dummy-fused: ${session.why}`)
    const same = equal(session.record.options, options) && equal(session.record.faults, faults)
    if (!same)
      throw new FusedError(
        'conflict',
        `${path} is served with other options (${session.record.options.join(',')}); unmount it first`,
      )
    return session
  }

  /** Mounts a session, unless it would not be kept. Rejects with FusedError. */
  async #mountKept(order: MountOrder, call: CallContext): Promise<ServedSession> {
    const session: ServedSession = { kind: 'served', ...(await this.#mountRoomy(order, call)) }
    this.#serve(session)
    await this.#keep(session, call)
    return session
  }

  async #mountRoomy(order: MountOrder, call: CallContext): Promise<Mounted> {
    const others = this.sessions.all().length + this.#mounting
    this.#mounting++
    try {
      const lack = await this.#parts.holders.lacksRoom(others)
      if (lack !== undefined) throw new FusedError('exhausted', `${order.path} is not mounted: ${lack}`)
      return await this.#mounter.mount(order, call)
    } finally {
      this.#mounting--
    }
  }

  /** Stores the session's descriptor before the call is answered, so that a successor can serve it. */
  async #keep(session: ServedSession, call: CallContext): Promise<void> {
    const { id, path } = session.record
    try {
      throwIfOver(call)
      await this.#parts.holders.store(id, session.running.fd, call.signal)
      throwIfOver(call)
    } catch (error) {
      const why = `the descriptor of ${path} cannot be kept: ${messageOf(error)}`
      await this.#undo(session, why, call)
      if (errnoMeaning(codeOf(error)) === 'exhausted') throw fromErrno(error, why)
      throw new FusedError(isCallEnded(error) ? 'timeout' : 'unavailable', why, { cause: error })
    }
  }

  async #undo(session: ServedSession, why: string, { cleanUp }: CallContext): Promise<void> {
    const { log } = this.#parts
    try {
      this.#detach(session)
    } catch (error) {
      log.error(`cannot unmount ${session.record.path}: ${messageOf(error)}; it is dead from now on`)
    }
    try {
      await this.#cut(session, why, cleanUp)
    } catch (error) {
      log.error(`session ${idOf(session)} of ${session.record.path} has not ended yet: ${messageOf(error)}`)
    }
  }

  async #take(path: string, call: CallContext): Promise<Disposable> {
    try {
      return await this.#paths.take(path, call.signal)
    } catch (error) {
      throw new FusedError('timeout', `${path}: another call for it is under way, call again: ${messageOf(error)}`, {
        cause: error,
      })
    }
  }

  #serve(session: ServedSession): void {
    this.sessions.add(session)
    session.running.initialised
      .then((reply) => {
        this.#parts.log.info(`${session.record.path}: ${initLine(reply)}`)
      })
      .catch(() => undefined)
    session.running.ended
      .then((outcome) => {
        if (outcome.kind !== 'detached' && this.sessions.has(session)) this.#onEnd(session, outcome)
      })
      .catch((error: unknown) => {
        this.#parts.log.error(`cannot forget the session of ${session.record.path}, which has ended: ${messageOf(error)}`)
      })
  }

  #onEnd(session: ServedSession, outcome: SessionOutcome): void {
    const { path } = session.record
    if (outcome.kind === 'refused') this.#parts.log.error(`${path}: ${outcome.message}`)
    else if (this.#standsQuietly(session.record))
      this.#parts.log.error(`the connection of ${path} was aborted; what is mounted there is dead`)
    else this.#parts.log.info(`${path} was unmounted`)
    this.#forget(session)
  }

  #standsQuietly(record: SessionRecord): boolean {
    try {
      return this.#stands(record)
    } catch {
      return false
    }
  }

  async #inspect({ signal }: CallContext, id?: string): Promise<Inspection | undefined> {
    try {
      return await unlessAborted(this.#parts.engine.inspect(id), signal)
    } catch (error) {
      if (!isCallEnded(error)) throw error
      throw new FusedError('unavailable', `the thread that serves does not answer, call again: ${error.message}`, { cause: error })
    }
  }
}

function equal(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index])
}
