import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, SystemError } from '../errors.ts'
import type { RunningSession } from '../fuse/session/attached-session.ts'
import type { SessionEngine } from '../fuse/session/engine.ts'
import { mountSession } from '../fuse/session/mounting.ts'
import type { Libc } from '../os/libc.ts'
import type { MountTable } from '../os/mount-table.ts'
import { FusedError } from './errors.ts'
import { RECORD_VERSION, type SessionRecord } from './record.ts'
import type { Records } from './records.ts'
import { newId } from './sessions.ts'

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

/** What a mounter is put together from. */
export interface MounterParts {
  readonly engine: SessionEngine
  readonly libc: Libc
  readonly table: MountTable
  readonly records: Records
  readonly bootId: string
  /** Act as on a kernel that cannot be asked for lost requests again: a fault on purpose. */
  readonly withoutResend: boolean
}

/** A session that was mounted, and what a successor has to know of it. */
export interface Mounted {
  readonly record: SessionRecord
  readonly running: RunningSession
}

const BEING_REPLACED = 'dummy-fused ends; call its successor'

/** Mounts sessions: each has its record before its INIT is answered. */
export class Mounter {
  readonly #parts: MounterParts
  /** Of the mounts that are under way. */
  readonly #mounting = new Set<AbortController>()
  #ended = false

  constructor(parts: MounterParts) {
    this.#parts = parts
  }

  /** Begins no more mounts. */
  end(): void {
    this.#ended = true
  }

  /** Throws FusedError `unavailable` after {@link end}. */
  refuseEnded(): void {
    if (this.#ended) throw new FusedError('unavailable', BEING_REPLACED)
  }

  /** Gives up the mounts that are under way. */
  abort(): void {
    for (const mounting of this.#mounting) mounting.abort()
  }

  /** Mounts a session where none is. Rejects with FusedError; then nothing is mounted, and there is no record. */
  async mount(order: MountOrder): Promise<Mounted> {
    this.#refuseMounted(order.path)
    const { engine, libc, records, bootId } = this.#parts
    const { path, options, faults, fault, deadline } = order
    if (fault.mountFail) throw new FusedError('internal', `${path}: mount failed, as --inject mount-fail asks`)
    const mounting = new AbortController()
    const timer = setTimeout(() => mounting.abort(), deadline)
    const until = performance.now() + deadline
    const { signal } = mounting
    const remaining = (): number => (signal.aborted ? 0 : Math.max(until - performance.now(), 0))
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
        time: { signal, remaining },
        beforeInit: async (negotiated, device) => {
          if (fault.initHang) await new Promise<never>(() => undefined)
          const resend = negotiated.resend && !this.#parts.withoutResend
          const connection = Number(device.split(':')[1])
          record = { version: RECORD_VERSION, id, path, options, faults, bootId, connection, negotiated: { ...negotiated, resend } }
          records.save(record)
        },
      })
      if (record === undefined) throw new Error('INIT was answered before its record was written')
      return { record, running }
    } catch (error) {
      if (record !== undefined) records.remove(id)
      if (signal.aborted && this.#ended) throw new FusedError('unavailable', BEING_REPLACED, { cause: error })
      if (remaining() <= 0)
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
    }
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
}
