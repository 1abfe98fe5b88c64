import { closeSync } from 'node:fs'
import type { RunningSession } from '../fuse/session/attached-session.ts'
import type { SessionEngine } from '../fuse/session/engine.ts'
import { sameOpenFile } from '../os/descriptors/open-files.ts'
import type { Libc } from '../os/libc.ts'
import type { Records } from './session-records.ts'
import { storedDescriptors } from './device-states.ts'
import type { StandbyCopies } from './standby-copies.ts'
import { type Circumstances, planTakeover } from './takeover.ts'

/** The dependencies of {@link Standby}. */
export interface StandbyParts {
  readonly engine: SessionEngine
  readonly records: Records
  readonly copies: Pick<StandbyCopies, 'keep' | 'drop'>
  readonly libc: Libc
  readonly now: Omit<Circumstances, 'drained'>
  /** Whether the daemon has reported that it answered all requests that it had read. */
  readonly hasDrained: () => boolean
  /** It cannot go on. */
  readonly onLost: (error: unknown) => void
}

interface Held {
  readonly fd: number
  /** While it is served here. */
  running?: RunningSession
}

/**
 * Has copies of a daemon's devices, and serves them while there is no daemon: those that are well, for all else is its successor's to mend. Two may read
 * one device, for node ids and handles mean the same to both.
 */
export class Standby {
  readonly #parts: StandbyParts
  readonly #held = new Map<string, Held>()
  /** What the daemon has not sent since it introduced itself. */
  readonly #unclaimed = new Set<string>()
  #serving = false

  constructor(parts: StandbyParts) {
    this.#parts = parts
  }

  get serving(): boolean {
    return this.#serving
  }

  /** Whether there is anything to serve, or to end. */
  get empty(): boolean {
    return this.#held.size === 0
  }

  /** Takes a session's device over from an earlier standby: the service manager has kept it. */
  inherit(id: string, fd: number): void {
    if (this.#held.has(id)) {
      closeSync(fd)
      return
    }
    this.#held.set(id, { fd })
  }

  /** A daemon has introduced itself, and sends all devices of its own from now on, also those that are here already. */
  expectAll(): void {
    for (const id of this.#held.keys()) this.#unclaimed.add(id)
  }

  /** Takes a session's device over from the daemon. */
  hold(id: string, fd: number): void {
    const held = this.#held.get(id)
    if (held !== undefined && sameOpenFile(this.#parts.libc, held.fd, fd)) {
      this.#unclaimed.delete(id)
      closeSync(fd)
      return
    }
    this.drop(id)
    this.#held.set(id, { fd })
    this.#parts.copies.keep(id, fd)
  }

  /** Closes the devices that the daemon has not sent since {@link expectAll}: their sessions have ended. To be called when it has sent all of its own. */
  dropUnclaimed(): void {
    for (const id of this.#unclaimed) this.drop(id)
  }

  /** Lets go of all sessions: the next standby is not to go on with them. Their devices stay open here until the process ends. */
  giveUp(): void {
    for (const id of this.#held.keys()) this.#parts.copies.drop(id)
  }

  /** Closes a session's device. */
  drop(id: string): void {
    const held = this.#held.get(id)
    if (held === undefined) return
    this.#held.delete(id)
    this.#unclaimed.delete(id)
    this.#parts.copies.drop(id)
    if (held.running === undefined) closeSync(held.fd)
    else held.running.detach()
  }

  /**
   * Serves from now on; tells how many sessions. `drained`: the daemon is still there and answers what it has read; all other requests that were read
   * and not answered are asked for again. Throws Node's error when the records cannot be read; then nothing is served. Where the kernel cannot be asked for them (before Linux 6.9), what is read here could be lost too: it is not served.
   */
  serve(drained: boolean): number {
    const { engine, records, libc, now } = this.#parts
    const kept = [...this.#held].map(([name, { fd }]) => ({ name, fd }))
    const steps = planTakeover(storedDescriptors(libc, kept), records.peek(), { ...now, drained })
    this.#serving = true
    const served = steps.filter((step) => step.kind === 'serve').filter(({ record }) => record.negotiated.resend)
    for (const { fd, record } of served) {
      const { id, options, faults } = record
      const running = engine.attach({ id, fd, options, faults, resend: !drained, holdInit: false, inherited: true })
      this.#held.set(id, { fd, running })
      running.ended
        .then(() => {
          if (this.#held.get(id)?.running !== running) return
          this.#held.delete(id)
          this.#parts.copies.drop(id)
        })
        .catch(this.#parts.onLost)
    }
    return served.length
  }

  /** The ids of all sessions that it holds. */
  get ids(): readonly string[] {
    return [...this.#held.keys()]
  }

  /** A session's device, which stays its own; undefined if it does not hold the session any more. */
  device(id: string): number | undefined {
    return this.#held.get(id)?.fd
  }

  /** The daemon has ended before it answered what it had read. The kernel is asked to send those requests again. */
  daemonEnded(): void {
    if (this.#parts.hasDrained()) return
    for (const { running } of this.#held.values()) running?.resend()
  }

  /** Reads no more, and resolves when what was read is answered, at the latest after `deadline` milliseconds. */
  async handBack(deadline: number): Promise<void> {
    await this.#parts.engine.drain(deadline)
  }
}
