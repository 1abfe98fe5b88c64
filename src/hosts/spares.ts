import type { Logger } from '../log.ts'
import { STATUS } from '../os/processes/exit-status.ts'
import { processStat } from '../os/processes/processes.ts'
import { DaemonProcess, type Execution } from './daemon-process.ts'
import { isStopped } from './found-daemon.ts'
import type { StartQueue } from './start-queue.ts'

/** The limits of spares, in milliseconds. */
export interface SpareLimits {
  /** How long after a Stage the next spare is started, unless a daemon has become free by then. */
  readonly spareDelay: number
  /** How long a spare is kept after the last Stage. */
  readonly spareKept: number
}

/**
 * Keeps at most one dummy-fuse that has started and waits for its arguments, so that NodeStageVolume waits for no start. The spare is a process that
 * was started as one, or a daemon whose volume was unmounted. It serves no volume. There is no spare before the first NodeStageVolume, and none some
 * time after the last.
 */
export class Spares {
  readonly #execution: () => Execution
  readonly #queue: StartQueue
  readonly #limits: SpareLimits
  readonly #log: Logger
  #spare: DaemonProcess | undefined
  #replenishing: NodeJS.Timeout | undefined
  #leaving: NodeJS.Timeout | undefined
  /** A spare has failed in a way that the next one would repeat. */
  #impossible = false

  /** `execution`: how a spare is to be started now. */
  constructor(execution: () => Execution, queue: StartQueue, limits: SpareLimits, log: Logger) {
    this.#execution = execution
    this.#queue = queue
    this.#limits = limits
    this.#log = log
  }

  /** Takes the spare, idle or still starting; the caller owns it from now on. Undefined if there is none, or if it is stopped (SIGSTOP). */
  take(): DaemonProcess | undefined {
    const spare = this.#current
    this.#spare = undefined
    if (spare === undefined) return undefined
    const stat = processStat(spare.pid)
    if (stat !== undefined && !stat.exiting && !isStopped(stat)) return spare
    spare.kill()
    return undefined
  }

  /** Starts a spare soon, if there is none. To be called when NodeStageVolume is over. */
  replenish(): void {
    clearTimeout(this.#leaving)
    this.#leaving = setTimeout(() => {
      this.#letGo()
    }, this.#limits.spareKept).unref()
    clearTimeout(this.#replenishing)
    this.#replenishing = setTimeout(() => {
      this.#start()
    }, this.#limits.spareDelay).unref()
  }

  /** Takes a daemon that is idle again. Where there is a spare that waits, and where none is wanted, it is to end. */
  offer(daemon: DaemonProcess): void {
    const spare = this.#current
    if (spare?.idle === true || this.#leaving === undefined) {
      daemon.dismiss()
      return
    }
    // A spare that is still starting would only use a processor.
    spare?.kill()
    daemon.wait()
    this.#spare = daemon
  }

  #start(): void {
    // Starts that wait come first; each calls replenish() when it is over.
    if (this.#current !== undefined || this.#impossible || this.#queue.waiting > 0) return
    const execution = this.#execution()
    const daemon = new DaemonProcess(execution, 'starting', this.#log)
    daemon.onceFree(() => {
      const { startFailure } = daemon
      if (startFailure !== undefined) this.#log.warning(`no spare dummy-fuse, the next Stage takes longer: ${startFailure.message}`)
      // Only its own exit status counts: a signal, or a missing scope of systemd, says nothing about the next spare.
      const status = daemon.end?.status ?? 0
      const refused = execution.plain !== undefined && status === STATUS.failed
      this.#impossible ||= status !== 0 && !refused
    })
    this.#spare = daemon
  }

  get #current(): DaemonProcess | undefined {
    return this.#spare?.over === false ? this.#spare : undefined
  }

  #letGo(): void {
    this.#leaving = undefined
    this.#spare?.dismiss()
    this.#spare = undefined
  }
}
