import { closeSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf, SystemError } from '../errors.ts'
import { connectionOf } from '../fuse/session/device.ts'
import type { SessionEngine } from '../fuse/session/engine.ts'
import type { Inspection } from '../fuse/session/messages.ts'
import { mountSession } from '../fuse/session/mounting.ts'
import type { Logger } from '../log.ts'
import { type Libc, MNT_DETACH } from '../os/libc.ts'
import { type MountinfoLine, mountsOfDevice, parseMountinfo } from '../os/mountinfo.ts'
import type { MountTable } from '../os/mount-table.ts'
import { randomHex } from '../os/random.ts'
import type { ServiceManager } from '../os/sd-notify.ts'
import { FusedError } from './errors.ts'
import { Paths } from './paths.ts'
import { RECORD_VERSION, type SessionRecord } from './record.ts'
import type { Records } from './records.ts'
import { type HeldSession, type HostedSession, idOf, type ServedSession, Sessions } from './sessions.ts'

/** What a daemon is put together from. */
export interface DaemonParts {
  readonly engine: SessionEngine
  readonly libc: Libc
  readonly table: MountTable
  readonly records: Records
  readonly manager: ServiceManager
  readonly bootId: string
  /** Act as on a kernel that cannot be asked for lost requests again: a fault on purpose. */
  readonly withoutResend: boolean
  readonly log: Logger
}

/** A session to be mounted. `options` and `faults` are checked. */
export interface MountOrder {
  readonly path: string
  readonly options: readonly string[]
  readonly faults: readonly string[]
  /** How the faults read that are the mount's own, not the file system's. */
  readonly fault: { readonly mountDelay: number; readonly mountFail: boolean; readonly initHang: boolean }
  /** Milliseconds until INIT must have been handled. */
  readonly deadline: number
}

/** A session and what it has done; `inspection` is undefined for one that is held. */
export interface SessionReport {
  readonly session: HostedSession
  readonly inspection: Inspection | undefined
}

const BEING_REPLACED = 'dummy-fused ends; call its successor'

/** Milliseconds within which the serving thread must answer. */
const PING_DEADLINE = 2000

/** Serves any number of sessions, and keeps for each, outside of this process, all that a successor needs. */
export class FusedDaemon {
  readonly sessions = new Sessions()
  readonly #parts: DaemonParts
  readonly #paths = new Paths()
  /** Of the mounts that are under way. */
  readonly #mounting = new Set<AbortController>()
  #draining = false

  constructor(parts: DaemonParts) {
    this.#parts = parts
  }

  /** Mounts a session, or finds it mounted as it is asked for. Throws FusedError; then nothing new is mounted. */
  async mount(order: MountOrder): Promise<ServedSession> {
    using _ = await this.#paths.take(order.path)
    if (this.#draining) throw new FusedError('unavailable', BEING_REPLACED)
    const there = this.sessions.at(order.path)
    if (there !== undefined) {
      const usable = this.#usable(there, order)
      if (usable !== undefined) return usable
      // Somebody has taken it off its path; binds of it live on, and it ends with the last of them.
      this.#parts.log.warning(`session ${idOf(there)} is at ${order.path} no more, and another one is mounted there`)
    }
    this.#refuseMounted(order.path)
    return await this.#mountNew(order)
  }

  /** Takes a session off its path and ends it; tells whether there was one. */
  async unmount(path: string, grace: number): Promise<boolean> {
    using _ = await this.#paths.take(path)
    const session = this.sessions.at(path)
    if (session === undefined) return false
    this.#detach(session)
    if (session.kind === 'served') await Promise.race([session.running.ended, sleep(grace, undefined, { ref: false })])
    if (this.sessions.has(session)) await this.#cut(session, 'it was unmounted, and who still used it gets ENOTCONN')
    else await this.#parts.manager.barrier()
    return true
  }

  /** Every session. Throws FusedError `unavailable` if the serving thread does not answer. */
  async list(): Promise<readonly SessionReport[]> {
    const inspections = await this.#inspect()
    return this.sessions.all().map((session) => ({ session, inspection: inspections.get(idOf(session)) }))
  }

  /** One session. Throws FusedError `missing`, `unavailable`. */
  async inspect(path: string): Promise<SessionReport> {
    const session = this.sessions.at(path)
    if (session === undefined) throw new FusedError('missing', `no session is served at ${path}`)
    return { session, inspection: (await this.#inspect(idOf(session))).get(idOf(session)) }
  }

  /** Whether the serving thread answers. */
  async alive(): Promise<boolean> {
    return await this.#inspect('').then(
      () => true,
      () => false,
    )
  }

  /** Reads no more requests, and resolves when what has been read is answered, at the latest after `deadline` milliseconds; tells whether it is. */
  async drain(deadline: number): Promise<boolean> {
    await this.settle(deadline)
    const drained = await Promise.race([this.#parts.engine.drain(), sleep(deadline, 'late' as const, { ref: false })])
    if (drained === 'late') this.#parts.log.warning('requests are still unanswered; the successor asks for them again')
    return drained !== 'late'
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
    this.forget(session)
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
    this.#parts.manager.unstore(id)
    this.#parts.manager.store(id, fd)
    await this.#parts.manager.barrier()
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
      this.forget(session)
    }
    await this.#parts.manager.barrier().catch((error: unknown) => {
      this.#parts.log.warning(messageOf(error))
    })
  }

  /** Begins no more mounts and waits for those under way, but not for longer than `deadline`: one whose mount(2) waits would keep this process. */
  async settle(deadline: number): Promise<void> {
    this.#draining = true
    await this.#paths.idle(deadline)
    for (const mounting of this.#mounting) mounting.abort()
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
    const { manager, log } = this.#parts
    log.warning(`session ${idOf(session)} of ${session.record?.path ?? 'an unknown path'} ends: ${why}`)
    if (session.kind === 'served') {
      session.running.detach()
      await session.running.ended
    } else closeSync(session.fd)
    this.forget(session)
    // The store's copy is the last one.
    await manager.barrier()
  }

  /** Takes a session out of the books, the store and the state folder. Its descriptor here is closed by now. */
  forget(session: HostedSession): void {
    if (!this.sessions.has(session)) return
    this.sessions.remove(session)
    this.#parts.manager.unstore(idOf(session))
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

  #refuseMounted(path: string): void {
    let state: ReturnType<MountTable['at']>
    try {
      state = this.#parts.table.at(path)
    } catch (error) {
      throw new FusedError('precondition', `${path} cannot be reached: ${messageOf(error)}`, { cause: error })
    }
    if (state.kind === 'absent') throw new FusedError('precondition', `${path}: no such directory; create it first`)
    if (state.kind === 'plain' && state.type !== 'directory')
      throw new FusedError('precondition', `${path}: not a directory; name an empty one`)
    if (state.kind === 'mount' && state.mount.fsType === 'fuse.dummy-fuse')
      throw new FusedError('precondition', `${path} is a mount point of another dummy-fuse already; unmount that first`)
  }

  async #mountNew(order: MountOrder): Promise<ServedSession> {
    const { engine, libc, records, bootId, manager } = this.#parts
    const { path, options, faults, fault, deadline } = order
    if (fault.mountFail) throw new FusedError('internal', `${path}: mount failed, as --inject mount-fail asks`)
    const mounting = new AbortController()
    const timer = setTimeout(() => mounting.abort(), deadline)
    this.#mounting.add(mounting)
    const id = newId()
    let record: SessionRecord | undefined
    try {
      if (fault.mountDelay > 0) await sleep(fault.mountDelay * 1000, undefined, { signal: mounting.signal })
      const running = await mountSession(libc, engine, {
        id,
        mountpoint: path,
        options,
        faults,
        holdInit: true,
        signal: mounting.signal,
        beforeInit: async (negotiated, fd) => {
          if (fault.initHang) await new Promise<never>(() => undefined)
          const resend = negotiated.resend && !this.#parts.withoutResend
          const connection = this.#connection(path, fd)
          record = { version: RECORD_VERSION, id, path, options, faults, bootId, connection, negotiated: { ...negotiated, resend } }
          records.save(record)
        },
      })
      if (record === undefined) throw new Error('INIT was answered before its record was written')
      const session: ServedSession = { kind: 'served', record, running }
      this.#serve(session)
      await this.#keep(session)
      return session
    } catch (error) {
      if (record !== undefined) records.remove(id)
      if (mounting.signal.aborted && this.#draining) throw new FusedError('unavailable', BEING_REPLACED, { cause: error })
      if (mounting.signal.aborted)
        throw new FusedError('timeout', `${path}: INIT was not handled within ${deadline / 1000} s`, { cause: error })
      if (error instanceof FusedError) throw error
      throw new FusedError(
        error instanceof SystemError && error.code === 'ENOTDIR' ? 'precondition' : 'internal',
        `cannot mount ${path}: ${messageOf(error)}`,
        { cause: error },
      )
    } finally {
      clearTimeout(timer)
      this.#mounting.delete(mounting)
      if (manager.supervisor === 'none') this.#warnUnkept(path)
    }
  }

  /** Once the caller is told of the mount, a successor has it. */
  async #keep(session: ServedSession): Promise<void> {
    const { manager } = this.#parts
    try {
      manager.store(session.record.id, session.running.fd)
      await manager.barrier()
    } catch (error) {
      this.#detach(session)
      await this.#cut(session, `its descriptor cannot be kept: ${messageOf(error)}`)
      throw new FusedError('internal', `the descriptor of ${session.record.path} cannot be kept: ${messageOf(error)}`, {
        cause: error,
      })
    }
  }

  /** On kernels that do not tell a descriptor's connection, the mount stands by now, INIT or not. */
  #connection(path: string, fd: number): number {
    const told = connectionOf(fd)
    if (told !== undefined) return told
    const state = this.#parts.table.at(path)
    const device = state.kind === 'mount' ? state.mount.device : ''
    return Number(device.split(':')[1])
  }

  #serve(session: ServedSession): void {
    this.sessions.add(session)
    void session.running.ended.then((outcome) => {
      if (outcome.kind === 'detached' || !this.sessions.has(session)) return
      const { path } = session.record
      if (outcome.kind === 'refused') this.#parts.log.error(`${path}: ${outcome.message}`)
      else if (this.#standsQuietly(session.record))
        this.#parts.log.error(`the connection of ${path} was aborted; what is mounted there is dead`)
      else this.#parts.log.info(`${path} was unmounted`)
      this.forget(session)
    })
  }

  #standsQuietly(record: SessionRecord): boolean {
    try {
      return this.#stands(record)
    } catch {
      return false
    }
  }

  async #inspect(id?: string): Promise<ReadonlyMap<string, Inspection>> {
    const inspections = await Promise.race([this.#parts.engine.inspect(id), sleep(PING_DEADLINE, undefined, { ref: false })])
    if (inspections === undefined)
      throw new FusedError('unavailable', `the thread that serves has not answered within ${PING_DEADLINE / 1000} s`)
    return new Map(inspections.map((one) => [one.id, one]))
  }

  #warnUnkept(path: string): void {
    this.#parts.log.warning(
      `nobody keeps the descriptor of ${path}: without systemd or dummy-fuse-csi keep it ends with this process`,
    )
  }
}

/** As the mount table has it: FUSE super blocks are anonymous, of major number 0. */
export function deviceOf(connection: number): string {
  return `0:${connection}`
}

/** Short, because systemd hands all names over in one variable, and without a colon, which parts them there. */
export function newId(): string {
  return randomHex(8)
}

function equal(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index])
}
