import { closeSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf } from '../errors.ts'
import type { Inspection } from '../fuse/session/messages.ts'
import type { SessionOutcome } from '../fuse/session/session.ts'
import type { Logger } from '../log.ts'
import { MNT_DETACH } from '../os/libc.ts'
import { type MountinfoLine, mountsOfDevice, parseMountinfo } from '../os/mountinfo.ts'
import { deviceOf } from '../os/mount-table.ts'
import { FusedError } from './errors.ts'
import type { Keepers } from './keepers.ts'
import { Paths } from './paths.ts'
import type { SessionRecord } from './record.ts'
import { Mounter, type MounterParts, type MountOrder } from './mounter.ts'
import { type HeldSession, type HostedSession, idOf, type ServedSession, type Sessions } from './sessions.ts'

/** What a daemon is put together from. */
export interface DaemonParts extends MounterParts {
  /** Where it has its sessions. */
  readonly sessions: Sessions
  readonly keepers: Keepers
  /** Whether a session that nobody keeps is worth a warning. */
  readonly expectsKeeper: boolean
  readonly log: Logger
}

/** A session and what it has done; `inspection` is undefined for one that is held. */
export interface SessionReport {
  readonly session: HostedSession
  readonly inspection: Inspection | undefined
}

/** Milliseconds within which the serving thread must answer. */
const PING_DEADLINE = 2000

/** Serves any number of sessions, and keeps for each, outside of this process, all that a successor needs. */
export class FusedDaemon {
  readonly sessions: Sessions
  readonly #parts: DaemonParts
  readonly #mounter: Mounter
  readonly #paths = new Paths()

  constructor(parts: DaemonParts) {
    this.sessions = parts.sessions
    this.#parts = parts
    this.#mounter = new Mounter(parts)
  }

  /** Mounts a session, or finds it mounted as it is asked for. Throws FusedError; then nothing new is mounted. */
  async mount(order: MountOrder): Promise<ServedSession> {
    using _ = await this.#paths.take(order.path)
    this.#mounter.refuseEnded()
    const there = this.sessions.at(order.path)
    if (there !== undefined) {
      const usable = this.#usable(there, order)
      if (usable !== undefined) return usable
      // Somebody has taken it off its path; binds of it live on, and it ends with the last of them.
      this.#parts.log.warning(`session ${idOf(there)} is at ${order.path} no more, and another one is mounted there`)
    }
    const session: ServedSession = { kind: 'served', ...(await this.#mounter.mount(order)) }
    this.#serve(session)
    await this.#keep(session)
    if (this.#parts.expectsKeeper && this.#parts.keepers.supervisor === 'none') {
      this.#parts.log.warning(
        `nobody keeps the descriptor of ${order.path}: without systemd or dummy-fuse-csi keep it ends with this process`,
      )
    }
    return session
  }

  /** Takes a session off its path and ends it; tells whether there was one. */
  async unmount(path: string, grace: number): Promise<boolean> {
    using _ = await this.#paths.take(path)
    const session = this.sessions.at(path)
    if (session === undefined) return false
    this.#detach(session)
    if (session.kind === 'served') await Promise.race([session.running.ended, sleep(grace, undefined, { ref: false })])
    if (this.sessions.has(session)) await this.#cut(session, 'it was unmounted, and who still used it gets ENOTCONN')
    else await this.#parts.keepers.barrier()
    return true
  }

  /** The sessions of these paths, as far as there are any, or every one. Throws FusedError `unavailable` if the serving thread does not answer. */
  async list(paths: readonly string[]): Promise<readonly HostedSession[]> {
    await this.#inspect()
    return paths.length === 0 ? this.sessions.all() : paths.flatMap((path) => this.sessions.at(path) ?? [])
  }

  /** One session. Throws FusedError `missing`, `unavailable`. */
  async inspect(path: string): Promise<SessionReport> {
    const session = this.sessions.at(path)
    if (session === undefined) throw new FusedError('missing', `no session is served at ${path}`)
    return { session, inspection: await this.#inspect(idOf(session)) }
  }

  /** Whether the serving thread answers. */
  async alive(): Promise<boolean> {
    return await this.#inspect().then(
      () => true,
      () => false,
    )
  }

  /** Reads no more requests, and resolves when what has been read is answered, at the latest after `deadline` milliseconds; tells whether it is. */
  async drain(deadline: number): Promise<boolean> {
    await this.settle(deadline)
    const drained = await this.#parts.engine.drain(deadline)
    if (!drained) this.#parts.log.warning('requests are still unanswered; the successor asks for them again')
    return drained
  }

  /** Asks for all requests again that another process with our devices may have read, and that it does not answer any more. */
  resend(): void {
    for (const session of this.sessions.all())
      if (session.kind === 'served' && session.record.negotiated.resend) session.running.resend()
  }

  /** Serves a session that a predecessor left. */
  adopt(record: SessionRecord, fd: number): void {
    const { id, options, faults } = record
    const { resend } = record.negotiated
    const running = this.#parts.engine.attach({ id, fd, options, faults, resend, holdInit: false })
    this.#serve({ kind: 'served', record, running })
  }

  /** Keeps a session for a program that knows more. */
  hold(session: HeldSession): void {
    this.sessions.add(session)
  }

  /** Ends a session that is held, and lets its consumers know by ENOTCONN. */
  release(session: HeldSession, why: string): void {
    if (!this.sessions.has(session)) return
    this.#parts.log.error(`session ${session.id} is given up: ${why}; its consumers get ENOTCONN`)
    closeSync(session.fd)
    this.#forget(session)
  }

  /**
   * Takes off whatever is mounted of a session that is gone, and so is dead: a mount that is not belongs to another session, to which the
   * kernel has given the connection's number since.
   */
  async bury(record: SessionRecord): Promise<void> {
    const { probe } = await import('../os/probe.ts')
    while (this.#stands(record) && (await probe(record.path)).kind === 'dead') this.#parts.libc.umount(record.path, MNT_DETACH)
    this.#parts.records.remove(record.id)
  }

  /** Keeps a session's descriptor anew, under its id alone. */
  async keepAgain(id: string, fd: number): Promise<void> {
    this.#parts.keepers.unstore(id)
    this.#parts.keepers.store(id, fd)
    await this.#parts.keepers.barrier()
  }

  /**
   * Ends every session for good: takes off its mounts that are not in use. What is in use cannot live on, for nobody keeps its descriptor any
   * more; that is said of each.
   */
  async stop(deadline: number): Promise<void> {
    await this.settle(deadline)
    const lines = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
    const used = this.sessions.all().flatMap((session) => this.#unmountUnused(session, lines))
    const served = this.sessions.all().filter((session) => session.kind === 'served')
    const ends = sleep(deadline, undefined, { ref: false })
    const unused = served.filter(({ record }) => !used.includes(record.id))
    await Promise.race([Promise.all(unused.map(({ running }) => running.ended)), ends])
    for (const session of this.sessions.all()) {
      const { path } = session.record ?? { path: 'an unknown path' }
      this.#parts.log.error(
        `${path} is in use and gets ENOTCONN from now on: dummy-fused was stopped for good, and nobody keeps its descriptor; restart its consumers`,
      )
      if (session.kind === 'held') closeSync(session.fd)
      this.#forget(session)
    }
    await this.#parts.keepers.barrier().catch((error: unknown) => {
      this.#parts.log.warning(messageOf(error))
    })
  }

  /** Begins no more mounts and waits for those under way, but not for longer than `deadline`: one whose mount(2) waits would keep this process. */
  async settle(deadline: number): Promise<void> {
    this.#mounter.end()
    await this.#paths.idle(deadline)
    this.#mounter.abort()
    await this.#paths.idle(deadline)
  }

  /** Takes off a session's mounts here, the last first, as far as nobody uses them; its id if somebody does. */
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

  /** Ends a session although it is in use: its connection is cut, and its consumers get ENOTCONN. */
  async #cut(session: HostedSession, why: string): Promise<void> {
    const { keepers, log } = this.#parts
    log.warning(`session ${idOf(session)} of ${session.record?.path ?? 'an unknown path'} ends: ${why}`)
    if (session.kind === 'served') {
      session.running.detach()
      await session.running.ended
    } else closeSync(session.fd)
    this.#forget(session)
    // The store's copy is the last one.
    await keepers.barrier()
  }

  /** Takes a session out of the books, the store and the state folder. Its descriptor here is closed by now. */
  #forget(session: HostedSession): void {
    if (!this.sessions.has(session)) return
    this.sessions.remove(session)
    this.#parts.keepers.unstore(idOf(session))
    this.#parts.records.remove(idOf(session))
  }

  /** Takes the session's own mount off its path, and each bind of it there. */
  #detach({ record }: HostedSession): void {
    if (record === undefined) return
    while (this.#stands(record)) this.#parts.libc.umount(record.path, MNT_DETACH)
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

  /** Once the caller is told of the mount, a successor has it. */
  async #keep(session: ServedSession): Promise<void> {
    const { keepers } = this.#parts
    try {
      keepers.store(session.record.id, session.running.fd)
      await keepers.barrier()
    } catch (error) {
      this.#detach(session)
      await this.#cut(session, `its descriptor cannot be kept: ${messageOf(error)}`)
      throw new FusedError('internal', `the descriptor of ${session.record.path} cannot be kept: ${messageOf(error)}`, {
        cause: error,
      })
    }
  }

  #serve(session: ServedSession): void {
    this.sessions.add(session)
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

  async #inspect(id?: string): Promise<Inspection | undefined> {
    const inspection = await Promise.race([this.#parts.engine.inspect(id), sleep(PING_DEADLINE, 'late' as const, { ref: false })])
    if (inspection === 'late')
      throw new FusedError('unavailable', `the thread that serves has not answered within ${PING_DEADLINE / 1000} s`)
    return inspection
  }
}

function equal(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index])
}
