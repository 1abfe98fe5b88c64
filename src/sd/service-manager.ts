import { unlessAborted } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { oneLine } from '../printable.ts'
import type { Libc } from '../os/libc.ts'
import { NotifySender } from './notify-sender.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'

/** What restarts this process, and so what keeps its descriptors meanwhile. */
export type Supervisor = 'systemd' | 'keep' | 'none'

/** Tells a service manager how we are, by sd_notify(3)'s protocol: newline-separated assignments in one datagram. It never waits for the manager. */
export class ServiceManager {
  readonly supervisor: Supervisor
  /** Milliseconds in which it expects WATCHDOG=1 from this process; undefined if it expects none. */
  readonly watchdog: number | undefined
  /** How many descriptors it stores for our successor; undefined if it does not tell (systemd does since 254). */
  readonly storeMax: number | undefined
  readonly #sender: NotifySender | undefined
  readonly #rateLimitedLog: RateLimitedLog

  /** Takes its variables out of the environment: what this process starts is not to speak for it. */
  constructor(env: NodeJS.ProcessEnv, libc: Libc, log: Logger) {
    const socket = env.NOTIFY_SOCKET
    this.#rateLimitedLog = new RateLimitedLog(log)
    const onFailure = (error: unknown): void => {
      this.#rateLimitedLog.warning('notify', `cannot notify the service manager: ${messageOf(error)}`)
    }
    this.#sender = socket === undefined ? undefined : new NotifySender(libc, socket, onFailure)
    this.watchdog = watchdogOf(env)
    this.storeMax = /^\d+$/.test(env.FDSTORE ?? '') ? Number(env.FDSTORE) : undefined
    this.supervisor = socket === undefined ? 'none' : env.SYSTEMD_EXEC_PID === String(process.pid) ? 'systemd' : 'keep'
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID', 'FDSTORE']) Reflect.deleteProperty(env, name)
  }

  /** Sends assignments that the next ones replace, such as STATUS= and WATCHDOG=1: they are lost where the manager has no room for them. */
  notify(...assignments: readonly string[]): void {
    try {
      if (this.#sender?.offer(lines(assignments)) === false)
        this.#rateLimitedLog.warning('full', `the service manager does not read: '${assignments.join(' ')}' is not sent`)
    } catch (error) {
      this.#rateLimitedLog.warning('notify', `cannot notify the service manager: ${messageOf(error)}`)
    }
  }

  /** Sends assignments that must arrive, such as READY=1: at once, or as soon as the manager has room. */
  announce(...assignments: readonly string[]): void {
    this.#sender?.say(lines(assignments))
  }

  /**
   * Has a copy of a descriptor kept for our successor, and resolves when the manager has taken it in. Rejects with SystemError, or with the signal's
   * reason; {@link unstore} then takes it back.
   */
  async store(name: string, fd: number, signal: AbortSignal): Promise<void> {
    const sender = this.#sender
    if (sender === undefined) return
    signal.throwIfAborted()
    await unlessAborted(Promise.all([sender.store(name, [fd]), sender.barrier()]), signal)
  }

  /** Has all kept descriptors of that name closed. To be followed by {@link barrier}. */
  unstore(name: string): void {
    this.#sender?.unstore(name)
  }

  /** Resolves when everything sent before has been taken in. Rejects with Error, or with the signal's reason. */
  async barrier(signal: AbortSignal): Promise<void> {
    if (this.#sender === undefined) return
    signal.throwIfAborted()
    await unlessAborted(this.#sender.barrier(), signal)
  }
}

/** Each is one line, whatever is in a path that it names. */
function lines(assignments: readonly string[]): string {
  return assignments.map(oneLine).join('\n')
}

/** sd_watchdog_enabled(3). */
function watchdogOf({ WATCHDOG_USEC: time, WATCHDOG_PID: pid }: NodeJS.ProcessEnv): number | undefined {
  if (time === undefined || !/^\d+$/.test(time)) return undefined
  return pid === undefined || pid === String(process.pid) ? Number(time) / 1000 : undefined
}
