import { closeSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import { DEFAULT_OPTIONS } from '../fuse/mount-option-rules.ts'
import { connectionOf } from '../os/mounts/fuse-connections.ts'
import { presumed } from '../fuse/session/handshake.ts'
import type { Logger } from '../log.ts'
import type { InheritedDescriptor } from '../os/descriptors/inherited.ts'
import type { Libc } from '../os/libc.ts'
import { mountsOfDevice, readMountinfo } from '../os/mounts/mountinfo.ts'
import { deviceOf } from '../os/mounts/mount-table.ts'
import type { FusedDaemon } from './daemon.ts'
import type { FdHolders } from './fd-holders.ts'
import { newSessionId, SESSION_ID } from './session-id.ts'
import { type ReadRecord, RECORD_VERSION, recordId } from './session-record.ts'
import type { Records } from './session-records.ts'
import { storedDescriptors } from './device-states.ts'
import { type Circumstances, planTakeover, type Step } from './takeover.ts'

/** The dependencies of {@link Successor}. */
export interface SuccessorParts {
  readonly daemon: Pick<FusedDaemon, 'adopt' | 'keepAgain' | 'hold' | 'release' | 'cleanUp'>
  readonly records: Records
  readonly holders: Pick<FdHolders, 'store' | 'unstore'>
  readonly libc: Libc
  readonly now: Circumstances
  /** Gets the descriptors that a standby has. */
  readonly fetch: () => readonly InheritedDescriptor[]
  readonly log: Logger
}

/** Takes over what a predecessor left. Nothing here, before sessions are served, asks anything of a path that one of them may be mounted at. */
export class Successor {
  readonly #parts: SuccessorParts
  #later: readonly Step[] = []
  /** Sessions whose descriptors came from a standby. The service manager has none of them yet. */
  readonly #fetched = new Set<string>()

  constructor(parts: SuccessorParts) {
    this.#parts = parts
  }

  /** Serves every session with a record and a descriptor. {@link tidy} handles the others. */
  begin(inherited: readonly InheritedDescriptor[]): void {
    const { daemon, records, now, libc, log } = this.#parts
    const read = records.read()
    const all = [...inherited, ...this.#fetch(inherited, read)]
    const steps = planTakeover(storedDescriptors(libc, all), read, now)
    const serve = steps.filter((step) => step.kind === 'serve')
    for (const { record, fd } of serve) daemon.adopt(record, fd)
    if (steps.length > 0) log.info(`took over ${serve.length} sessions of ${all.length} descriptors`)
    this.#later = steps.filter((step) => step.kind !== 'serve' || step.storeAgain || this.#fetched.has(step.record.id))
  }

  /** Descriptors from a standby, for records that come without one: the process that kept them may have ended with the predecessor. */
  #fetch(inherited: readonly InheritedDescriptor[], read: readonly ReadRecord[]): readonly InheritedDescriptor[] {
    const names = new Set(inherited.map(({ name }) => name))
    if (read.every((one) => one.kind === 'damaged' || names.has(recordId(one)))) return []
    const fetched = this.#parts.fetch()
    for (const { fd, name } of fetched) {
      if (names.has(name)) closeSync(fd)
      else this.#fetched.add(name)
    }
    if (this.#fetched.size > 0) this.#parts.log.info(`the standby has handed over ${this.#fetched.size} descriptors`)
    return fetched.filter(({ name }) => !names.has(name))
  }

  /**
   * The steps that can wait until sessions are served. A step that fails does not stop another. `deadline`: milliseconds for which a session is held
   * for a newer version of the program. `signal`: once it is aborted, no step waits any more; what was sent to the service manager and the standby
   * arrives when they read.
   */
  async tidy(deadline: number, signal: AbortSignal): Promise<void> {
    for (const step of this.#later) {
      try {
        await this.#do(step, deadline, signal)
      } catch (error) {
        this.#parts.log.error(`the takeover of ${nameOf(step)} has failed: ${messageOf(error)}`)
      }
    }
  }

  async #do(step: Step, deadline: number, signal: AbortSignal): Promise<void> {
    const { daemon, records, holders, log } = this.#parts
    if (step.kind === 'hold' && this.#fetched.has(step.id)) await daemon.keepAgain(step.id, step.fd, signal)
    switch (step.kind) {
      case 'serve':
        await daemon.keepAgain(step.record.id, step.fd, signal)
        return
      case 'recover':
        await this.#recover(step, signal)
        return
      case 'hold':
        this.#hold(step, deadline)
        return
      case 'release':
        log.warning(`descriptor ${step.name} is released: ${step.why}`)
        closeSync(step.fd)
        if (step.forget) holders.unstore(step.name)
        return
      case 'cleanUp':
        log.error(`the session of ${step.record.path} is lost: ${step.why}; its consumers get ENOTCONN`)
        await daemon.cleanUp(step.record)
        return
      case 'discard':
        log.warning(`record ${step.id} is discarded: ${step.why}`)
        if (step.damaged) records.setAside(step.id)
        else records.remove(step.id)
    }
  }

  /** The mount table has the path that the record does not tell; the options are the dummy file system's own. */
  async #recover({ fd, name, storeAgain, why }: Step & { kind: 'recover' }, signal: AbortSignal): Promise<void> {
    const { daemon, records, holders, now, log } = this.#parts
    const connection = connectionOf(fd)
    const lines = readMountinfo()
    const [mount] = connection === undefined ? [] : mountsOfDevice(lines, deviceOf(connection))
    if (connection === undefined || mount?.fsType !== 'fuse.dummy-fuse') {
      log.warning(`descriptor ${name} is released: ${why}, and nothing of it is mounted here`)
      closeSync(fd)
      holders.unstore(name)
      return
    }
    const keepsName = SESSION_ID.test(name) && !storeAgain
    const record = {
      version: RECORD_VERSION,
      id: keepsName ? name : newSessionId(),
      path: mount.mountPoint,
      options: DEFAULT_OPTIONS,
      faults: [],
      bootId: now.bootId,
      connection,
      negotiated: presumed(),
    } as const
    records.save(record)
    daemon.adopt(record, fd)
    if (!keepsName) {
      // In this order: no store takes a copy of what it holds already.
      holders.unstore(name)
      await holders.store(record.id, fd, signal)
    }
    log.warning(`the session of ${record.path} is served with default options: ${why}`)
  }

  #hold({ fd, id, record, why }: Step & { kind: 'hold' }, deadline: number): void {
    const { daemon, log } = this.#parts
    const session = { kind: 'held', id, fd, record, why } as const
    daemon.hold(session)
    log.error(
      `session ${id} is held for ${deadline / 1000} s: ${why}; install the version that wrote it and run systemctl restart dummy-fused`,
    )
    setTimeout(() => {
      daemon.release(session, why)
    }, deadline).unref()
  }
}

function nameOf(step: Step): string {
  switch (step.kind) {
    case 'serve':
    case 'cleanUp':
      return step.record.path
    case 'hold':
    case 'discard':
      return step.id
    case 'recover':
    case 'release':
      return step.name
  }
}
