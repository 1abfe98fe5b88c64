import { closeSync, existsSync } from 'node:fs'
import { unlessAborted } from '../call-context.ts'
import { codeOf, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { pipeClosed } from '../os/descriptors/pipe-closed.ts'
import type { Libc } from '../os/libc.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import { watchForSocket } from '../os/sockets/socket-watch.ts'
import { NotifySender } from '../sd/notify-sender.ts'
import { idOf, type Sessions } from './sessions.ts'
import { DAEMON, HANDOVER } from './standby-socket.ts'

/** The dependencies of {@link StandbyLink}. */
export interface StandbyLinkParts {
  readonly libc: Libc
  /** Of the standby; there may be none. */
  readonly socket: string
  readonly sessions: Sessions
  /** Milliseconds for which a standby is waited for that takes nothing in. */
  readonly patience: number
  /** A standby has ended: what it has read and not answered must be asked for again. */
  readonly onEnd: () => void
  readonly log: Logger
}

/** A standby that was found, and its state. */
interface Found {
  readonly sender: NotifySender
  /** It did not take in what it was sent within the patience, and is not waited for again until it does. */
  hangs: boolean
}

/**
 * Gives a standby copies of all devices, and tells it when to serve. A standby cannot keep the daemon from its own work: the daemon waits once for a
 * standby that hangs, and sends everything it needs when it goes on.
 */
export class StandbyLink {
  readonly #parts: StandbyLinkParts
  /** A pipe of ours; its end to write is held for as long as we live. */
  readonly #life: readonly [number, number]
  #standby: Found | undefined
  /** Resolved while there is one. */
  #found = Promise.withResolvers<undefined>()
  /** Devices that it was to close so far; and how many of those it has, for sure. */
  #unstored = 0
  #closed = 0

  /** Throws SystemError. */
  constructor(parts: StandbyLinkParts) {
    this.#parts = parts
    this.#life = parts.libc.pipe()
  }

  /**
   * Tells the standby, if there is one, that this daemon serves, and watches for new ones. Resolves when the standby has stopped serving, or hangs.
   */
  async begin(): Promise<void> {
    const { socket, log } = this.#parts
    try {
      const appeared = (): void => {
        this.#greet().catch((error: unknown) => this.#warn(error))
      }
      watchForSocket(socket, appeared, (error) => {
        log.warning(`cannot watch for a standby any more: ${messageOf(error)}`)
      })
    } catch (error) {
      log.warning(`cannot watch for a standby: ${messageOf(error)}`)
    }
    if (existsSync(socket)) await this.#greet()
  }

  /** Gives it a copy of a device, which must stay open until {@link unstore}. */
  store(id: string, fd: number): void {
    // It fails with the link itself, or when the device is not to be kept any more.
    this.#standby?.sender.store(id, [fd]).catch(() => undefined)
  }

  /** Has it close its copy. */
  unstore(id: string): void {
    this.#unstored++
    this.#standby?.sender.unstore(id)
  }

  /** Resolves when no copy is left of what has ended, or the standby hangs. Rejects with the signal's reason. */
  async barrier(signal: AbortSignal): Promise<void> {
    const unstored = this.#unstored
    if (this.#closed < unstored) await this.#barrier(signal)
    this.#closed = Math.max(this.#closed, unstored)
  }

  /** Resolves once there is a standby. */
  async found(): Promise<void> {
    await this.#found.promise
  }

  /** Has the standby serve, because this daemon is about to read no more. Resolves to whether it says that it serves: not if it hangs or ends, or there is none. */
  async handOver(): Promise<boolean> {
    const standby = this.#standby
    if (standby === undefined) return false
    const [read, write] = this.#parts.libc.pipe()
    const answer = pipeClosed(read)
    standby.sender
      .store(HANDOVER, [write])
      .finally(() => closeSync(write))
      .catch((error: unknown) => this.#failed(standby, error))
    standby.sender.say('STOPPING=1')
    const said = await settledWithin(answer, this.#parts.patience)
    if (said !== 'late') return said.length > 0
    this.#giveUp(standby)
    return false
  }

  async #greet(): Promise<void> {
    try {
      await this.#introduce()
    } catch (error) {
      this.#warn(error)
      this.#lose(error)
    }
  }

  async #introduce(): Promise<void> {
    const { libc, socket, sessions, onEnd } = this.#parts
    this.#lose(new Error('there is another standby'))
    const [read, write] = libc.pipe()
    const standby: Found = {
      sender: new NotifySender(libc, socket, (error) => this.#failed(standby, error)),
      hangs: false,
    }
    this.#standby = standby
    standby.sender
      .store(DAEMON, [this.#life[0], write])
      .catch((error: unknown) => this.#failed(standby, error))
      .finally(() => closeSync(write))
      .catch((error: unknown) => this.#warn(error))
    this.#found.resolve(undefined)
    pipeClosed(read)
      .then(() => {
        if (this.#standby === standby) this.#lose(new Error('the standby has ended'))
        onEnd()
      })
      .catch((error: unknown) => this.#warn(error))
    // It lets go of what it has beside these.
    for (const session of sessions.all()) this.store(idOf(session), session.kind === 'served' ? session.running.fd : session.fd)
    await this.#barrier()
  }

  /** Waits for as long as the patience lasts, once: a standby that hangs is not waited for again. */
  async #barrier(signal?: AbortSignal): Promise<void> {
    const standby = this.#standby
    if (standby === undefined || standby.hangs) return
    const passed = standby.sender.barrier().then(
      () => {
        standby.hangs = false
        return 'passed' as const
      },
      // It has ended, or cannot be asked, so there is nothing to wait for.
      () => 'passed' as const,
    )
    const either = settledWithin(passed, this.#parts.patience)
    const outcome = await (signal === undefined ? either : unlessAborted(either, signal))
    if (outcome === 'late' && this.#standby === standby) this.#giveUp(standby)
  }

  #giveUp(standby: Found): void {
    if (standby.hangs) return
    standby.hangs = true
    const { patience, log } = this.#parts
    log.warning(`the standby has not answered within ${patience / 1000} s; the daemon does not wait for it any longer`)
  }

  #failed(standby: Found, error: unknown): void {
    if (this.#standby !== standby) return
    // Its socket goes with it.
    if (codeOf(error) !== 'ECONNREFUSED' && codeOf(error) !== 'ENOENT') this.#warn(error)
    this.#lose(error)
  }

  #warn(error: unknown): void {
    this.#parts.log.warning(`cannot notify the standby: ${messageOf(error)}`)
  }

  /** There is none, until one comes anew. */
  #lose(reason: unknown): void {
    const standby = this.#standby
    this.#standby = undefined
    if (standby !== undefined) this.#found = Promise.withResolvers<undefined>()
    standby?.sender.drop(reason instanceof Error ? reason : new Error(messageOf(reason)))
  }
}
