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

/** Which of the recorded sessions have come without a descriptor. */
export type Lack = 'none' | 'some' | 'all'

/** The dependencies of {@link Successor}. */
export interface SuccessorParts {
  readonly daemon: Pick<FusedDaemon, 'adopt' | 'keepAgain' | 'hold' | 'release' | 'cleanUp'>
  readonly records: Records
  readonly holders: Pick<FdHolders, 'store' | 'unstore'>
  readonly libc: Libc
  readonly now: Circumstances
  /** Gets the descriptors that a standby has. `lack`: which of the recorded sessions end without them. What it rejects with ends the start. */
  readonly fetch: (lack: Lack) => Promise<readonly InheritedDescriptor[]>
  readonly log: Logger
}

/** Takes over what a predecessor left. Nothing here, before sessions are served, asks anything of a path that one of them may be mounted at. */
export class Successor {
  readonly #parts: SuccessorParts
  readonly #later: Step[] = []
  #inherited = new Set<string>()
  /** Records without an inherited descriptor. */
  #missing: readonly ReadRecord[] = []

  constructor(parts: SuccessorParts) {
    this.#parts = parts
  }

  /** Serves every session with a record and an inherited descriptor. {@link tidy} handles the others. */
  begin(inherited: readonly InheritedDescriptor[]): void {
    this.#inherited = new Set(inherited.map(({ name }) => name))
    const [there, missing] = split(this.#parts.records.read(), (one) => this.#inherited.has(recordId(one)))
    this.#missing = missing
    this.#take(inherited, there, (step) => step.kind !== 'serve' || step.storeAgain)
  }

  /**
   * Takes over what only a standby has: the process that kept the descriptors may have ended with the predecessor. To be called before the standby is told of this
   * daemon, by which it ends. It asks if nothing was inherited, or not every record's descriptor. Rejects with what the parts' `fetch` rejects with.
   */
  async fetch(): Promise<void> {
    const missing = this.#missing
    const bare = this.#inherited.size === 0
    if (missing.length === 0 && !bare) return
    const lack = missing.length === 0 ? 'none' : bare ? 'all' : 'some'
    const fetched = await this.#parts.fetch(lack)
    const [known, others] = split(fetched, ({ name }) => this.#inherited.has(name))
    for (const { fd } of known) closeSync(fd)
    if (others.length > 0) this.#parts.log.info(`the standby has handed over ${others.length} descriptors`)
    // The service manager has none of them yet.
    this.#take(others, missing, () => true)
  }

  #take(descriptors: readonly InheritedDescriptor[], read: readonly ReadRecord[], hasLater: (step: Step) => boolean): void {
    const { daemon, now, libc, log } = this.#parts
    const steps = planTakeover(storedDescriptors(libc, descriptors), read, now)
    const serve = steps.filter((step) => step.kind === 'serve')
    for (const { record, fd } of serve) daemon.adopt(record, fd)
    if (descriptors.length > 0) log.info(`took over ${serve.length} sessions of ${descriptors.length} descriptors`)
    this.#later.push(...steps.filter(hasLater))
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
    switch (step.kind) {
      case 'serve':
        await daemon.keepAgain(step.record.id, step.fd, signal)
        return
      case 'recover':
        await this.#recover(step, signal)
        return
      case 'hold':
        this.#hold(step, deadline)
        await daemon.keepAgain(step.id, step.fd, signal)
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
    // In this order: no store takes a copy of what it holds already.
    holders.unstore(name)
    await holders.store(record.id, fd, signal)
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

/** Those that pass, and the others. */
function split<T>(all: readonly T[], passes: (one: T) => boolean): [T[], T[]] {
  return [all.filter(passes), all.filter((one) => !passes(one))]
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
