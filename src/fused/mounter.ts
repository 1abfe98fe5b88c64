import { setTimeout as sleep } from 'node:timers/promises'
import type { CallContext } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import type { RunningSession, SessionRunner } from '../fuse/session/attached-session.ts'
import { mountSession } from '../fuse/session/mounting.ts'
import type { Negotiated } from '../fuse/session/negotiated.ts'
import type { Libc } from '../os/libc.ts'
import { connectionOfDevice, type MountTable } from '../os/mounts/mount-table.ts'
import { FusedError, fromErrno } from './errors.ts'
import { RECORD_VERSION, type SessionRecord } from './session-record.ts'
import type { Records } from './session-records.ts'
import { newSessionId } from './session-id.ts'

/** A session to be mounted. `options` and `faults` are checked. */
export interface MountOrder {
  readonly path: string
  readonly options: readonly string[]
  readonly faults: readonly string[]
  /** The faults of the mount itself, not of the file system. */
  readonly fault: { readonly mountDelay: number; readonly mountFail: boolean; readonly initHang: boolean }
}

/** The dependencies of {@link Mounter}. */
export interface MounterParts {
  readonly engine: SessionRunner
  readonly libc: Libc
  readonly table: MountTable
  readonly records: Records
  readonly bootId: string
  /** Act as on a kernel without FUSE_NOTIFY_RESEND: an injected fault. */
  readonly withoutResend: boolean
}

/** A session that was mounted, and the record that a successor needs. */
export interface Mounted {
  readonly record: SessionRecord
  readonly running: RunningSession
}

const BEING_REPLACED = 'this dummy-fused ends; call again, a successor answers'

/** Mounts sessions: each has its record before its INIT is answered. */
export class Mounter {
  readonly #parts: MounterParts
  readonly #aborted = new AbortController()
  #ended = false

  constructor(parts: MounterParts) {
    this.#parts = parts
  }

  /** Begins no more mounts. */
  end(): void {
    this.#ended = true
  }

  /** Throws FusedError `replaced` after {@link end}. */
  refuseEnded(): void {
    if (this.#ended) throw new FusedError('replaced', BEING_REPLACED)
  }

  /** Gives up the mounts that are under way. */
  abort(): void {
    this.#aborted.abort(new FusedError('replaced', BEING_REPLACED))
  }

  /**
   * Mounts a session where none is. It
   * 1. refuses a path that is missing, no directory, or the mount point of another dummy-fuse;
   * 2. makes a mount that is at no path yet, and has the serving thread read its device;
   * 3. waits for INIT, negotiates, and holds the answer;
   * 4. writes the record of the session;
   * 5. answers INIT;
   * 6. moves the mount to its path.
   * Where a step fails, the mount, the device and the record are removed. Before Linux 5.2 the mount is at its
   * path from step 2. FusedDaemon has the device stored before the call is answered, so that a successor can serve the session. Rejects with FusedError: `timeout` when the call's time is over, `replaced` after {@link abort}. Then nothing is
   * mounted and nothing of it can be mounted later, and there is no record.
   */
  async mount(order: MountOrder, call: CallContext): Promise<Mounted> {
    const begun = performance.now()
    this.#refuseMounted(order.path)
    const { path, fault } = order
    if (fault.mountFail) throw new FusedError('internal', `${path}: mount failed, as --inject mount-fail asks`)
    const signal = AbortSignal.any([call.signal, this.#aborted.signal])
    const remaining = (): number => (signal.aborted ? 0 : call.remaining())
    const id = newSessionId()
    let saved: SessionRecord | undefined
    try {
      if (fault.mountDelay > 0) await sleep(fault.mountDelay * 1000, undefined, { signal })
      const running = await mountSession(this.#parts.libc, this.#parts.engine, {
        id,
        mountpoint: path,
        options: order.options,
        faults: order.faults,
        holdInit: true,
        time: { signal, remaining },
        beforeInit: async (negotiated, device) => {
          if (fault.initHang) await new Promise<never>(() => undefined)
          saved = this.#save(id, order, negotiated, device)
        },
      })
      if (saved === undefined) throw new Error('INIT was answered before its record was written')
      return { record: saved, running }
    } catch (error) {
      this.#parts.records.remove(id)
      if (this.#aborted.signal.aborted) throw new FusedError('replaced', BEING_REPLACED, { cause: error })
      if (remaining() <= 0) {
        const time = ((performance.now() - begun) / 1000).toFixed(1)
        throw new FusedError('timeout', `${path}: INIT was not handled within ${time} s, which the call had left`, { cause: error })
      }
      throw fromErrno(error, `cannot mount ${path}: ${messageOf(error)}`)
    }
  }

  #save(id: string, { path, options, faults }: MountOrder, negotiated: Negotiated, device: string): SessionRecord {
    const { records, bootId, withoutResend } = this.#parts
    const resend = negotiated.resend && !withoutResend
    const connection = connectionOfDevice(device)
    const record = {
      version: RECORD_VERSION,
      id,
      path,
      options,
      faults,
      bootId,
      connection,
      negotiated: { ...negotiated, resend },
    } as const
    records.save(record)
    return record
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
