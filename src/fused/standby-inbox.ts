import { closeSync, writeSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { closeInThread } from '../os/descriptors/close-in-thread.ts'
import type { DescriptorWatch } from '../os/descriptors/descriptor-watch.ts'
import type { Libc } from '../os/libc.ts'
import { hungUp, sameOpenFile } from '../os/descriptors/open-files.ts'
import type { Standby } from './standby.ts'
import type { StandbyCopies } from './standby-copies.ts'
import { DAEMON, HANDOVER } from './standby-socket.ts'

/** The dependencies of {@link StandbyInbox}. */
export interface StandbyInboxParts {
  readonly standby: Standby
  readonly copies: StandbyCopies
  readonly libc: Libc
  readonly watch: DescriptorWatch
  /** Milliseconds for which it serves without a daemon. */
  readonly deadline: number
  /** Milliseconds for which a daemon may introduce itself to a standby that goes on for an earlier one. */
  readonly greeting: number
  /** Milliseconds until serving is tried again that failed. */
  readonly retry: number
  readonly log: Logger
}

/**
 * Receives the messages of a standby's daemon, and notices that the daemon has ended. While a daemon lives, the standby's service manager has a copy of
 * the pipe that tells it: a standby that is started anew learns by it whether it has to serve. It serves beside a daemon at most from that daemon's start until
 * the daemon introduces itself.
 */
export class StandbyInbox {
  readonly #parts: StandbyInboxParts
  readonly #ended = Promise.withResolvers<undefined>()
  readonly #needed = Promise.withResolvers<undefined>()
  /** The pipe that hangs up when the daemon ends; undefined before the daemon has sent it. */
  #daemon: number | undefined
  /** Pipe ends that stay open while this process is the daemon's standby: the daemon notices their close. */
  #ties: number[] = []
  #over = false
  /** Pipes into which a byte is written once this process serves. */
  #toAcknowledge: number[] = []
  #since = 0

  constructor(parts: StandbyInboxParts) {
    this.#parts = parts
  }

  /** Resolves when a successor of the daemon is there, or it has been waited for long enough. */
  get ended(): Promise<undefined> {
    return this.#ended.promise
  }

  /** Resolves when there are sessions, and no daemon that serves them: it has ended, or is about to. */
  get needed(): Promise<undefined> {
    return this.#needed.promise
  }

  /**
   * Goes on where an earlier standby has ended. `daemon`: the pipe of its daemon, if the service manager had one. To be called when the standby's socket is there: a daemon that has
   * come meanwhile finds that, and introduces itself. Throws SystemError.
   */
  resume(daemon: number | undefined): void {
    const { standby, copies, libc, greeting } = this.#parts
    if (daemon !== undefined && hungUp(libc, [daemon]).length === 0) {
      this.#attend(daemon)
      return
    }
    if (daemon !== undefined) {
      copies.drop(DAEMON)
      this.taken([daemon])
    }
    if (standby.empty) return
    setTimeout(() => {
      if (this.#daemon === undefined) this.#serve(false)
    }, greeting)
  }

  /** Takes what came under a name over: a session's device, or what a daemon introduces itself by. */
  store(name: string, descriptors: readonly number[]): void {
    const [fd, ...others] = descriptors
    if (fd === undefined || this.#over) return
    if (name === DAEMON) {
      this.#introduced(fd, others)
      return
    }
    this.taken(others)
    if (name === HANDOVER) {
      this.#toAcknowledge.push(fd)
      return
    }
    this.#parts.standby.hold(name, fd)
  }

  /** Closes the descriptors of a message that has been handled. Those that come after the end stay open until the process ends. */
  taken(descriptors: readonly number[]): void {
    if (!this.#over) for (const fd of descriptors) closeInThread(this.#parts.libc, fd)
  }

  /** All that the daemon has sent before has been taken in. Closes the descriptors of the message once no copy is left of what it took back. */
  passed(descriptors: readonly number[]): void {
    const { standby, copies } = this.#parts
    if (!this.#over) standby.dropUnclaimed()
    copies.closed().then(
      () => this.taken(descriptors),
      () => this.taken(descriptors),
    )
  }

  remove(name: string): void {
    if (!this.#over) this.#parts.standby.drop(name)
  }

  /** The daemon is about to end, and answers what it has read. Serves, and acknowledges that. */
  serve(): void {
    this.#serve(true)
    if (this.#parts.standby.serving || this.#parts.standby.empty) this.#acknowledge()
  }

  /** `others`: what comes along, by which the daemon sees our end. */
  #introduced(fd: number, others: readonly number[]): void {
    const { standby, copies, libc, log } = this.#parts
    standby.expectAll()
    if (this.#daemon === undefined && !standby.serving) {
      this.#ties = [...others]
      copies.keep(DAEMON, fd)
      this.#attend(fd)
      return
    }
    if (this.#daemon !== undefined && sameOpenFile(libc, this.#daemon, fd)) {
      // It has found the socket anew. It now watches the pipe that came with this message.
      this.taken([fd, ...this.#ties])
      this.#ties = [...others]
      return
    }
    // They stay open, so that the successor sees when there is nothing left of us.
    const time = standby.serving ? ` after ${(performance.now() - this.#since).toFixed(0)} ms` : ''
    log.info(`a successor serves${time}`)
    // The next standby starts with the sessions, and with this daemon.
    copies.drop(DAEMON)
    copies.keep(DAEMON, fd)
    this.#end()
  }

  /** Waits for the end of a daemon, which its pipe tells. */
  #attend(fd: number): void {
    const { watch, standby, copies } = this.#parts
    this.#daemon = fd
    watch.add(fd, () => {
      if (!this.#over) copies.drop(DAEMON)
      watch.closeWatched(fd)
      this.taken(this.#ties.splice(0))
      this.#daemon = undefined
      if (standby.serving) standby.daemonEnded()
      else this.#serve(false)
    })
  }

  #serve(drained: boolean): void {
    const { standby, deadline, log } = this.#parts
    if (this.#over || standby.serving || standby.empty) return
    this.#needed.resolve(undefined)
    this.#since = performance.now()
    setTimeout(() => {
      log.error(`no successor served within ${deadline / 1000} s: the sessions are given up, and their consumers get ENOTCONN`)
      standby.giveUp()
      this.#end()
    }, deadline)
    this.#attempt(drained)
  }

  /** Tries again if the records cannot be read (EIO, EMFILE), because the sessions' readers wait and no other process serves them. */
  #attempt(drained: boolean): void {
    const { standby, retry, log } = this.#parts
    if (this.#over || standby.serving) return
    try {
      const count = standby.serve(drained)
      this.#acknowledge()
      log.info(`dummy-fused ${drained ? 'ends' : 'is gone'}: serving ${count} sessions until its successor is there`)
    } catch (error) {
      log.error(`cannot serve the sessions: ${messageOf(error)}; it is tried again in ${retry / 1000} s`)
      setTimeout(() => this.#attempt(drained), retry)
    }
  }

  #acknowledge(): void {
    for (const fd of this.#toAcknowledge.splice(0)) {
      try {
        writeSync(fd, '1')
      } catch {
        // The daemon has ended (EPIPE), or does not wait any more.
      }
      closeSync(fd)
    }
  }

  #end(): void {
    this.#over = true
    this.#ended.resolve(undefined)
  }
}
