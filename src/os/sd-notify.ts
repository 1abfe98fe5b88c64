import { closeSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { hangsUp } from './hang-up.ts'
import type { Libc } from './libc.ts'
import { sendDatagram } from './unix-datagram.ts'

/** What restarts us, and so who keeps our descriptors meanwhile. */
export type Supervisor = 'systemd' | 'keep' | 'none'

/** Milliseconds for a service manager to take in what it was sent. */
const BARRIER_DEADLINE = 5000

/**
 * Has a copy of the descriptor that comes along kept under a name, without watching it: who waits for errors of a /dev/fuse is woken by each
 * request too.
 */
export function storeMessage(name: string): string {
  return `FDSTORE=1\nFDPOLL=0\nFDNAME=${name}`
}

/** Has all kept descriptors of that name closed. */
export function unstoreMessage(name: string): string {
  return `FDSTOREREMOVE=1\nFDNAME=${name}`
}

/** Tells a service manager how we are, by sd_notify(3)'s protocol: newline-separated assignments in one datagram. */
export class ServiceManager {
  readonly supervisor: Supervisor
  /** Milliseconds within which it wants to hear WATCHDOG=1 from us; undefined if it does not. */
  readonly watchdog: number | undefined
  readonly #socket: string | undefined
  readonly #libc: Libc
  readonly #log: Logger

  /** Takes its variables out of the environment: what we start is not to speak for us. */
  constructor(env: NodeJS.ProcessEnv, libc: Libc, log: Logger) {
    this.#socket = env.NOTIFY_SOCKET
    this.watchdog = watchdogOf(env)
    this.supervisor = this.#socket === undefined ? 'none' : env.SYSTEMD_EXEC_PID === String(process.pid) ? 'systemd' : 'keep'
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) Reflect.deleteProperty(env, name)
    this.#libc = libc
    this.#log = log
  }

  notify(...assignments: readonly string[]): void {
    if (this.#socket === undefined) return
    try {
      sendDatagram(this.#libc, this.#socket, Buffer.from(assignments.join('\n')))
    } catch (error) {
      this.#log.warning(`cannot notify the service manager: ${messageOf(error)}`)
    }
  }

  /** Has a copy of a descriptor kept for our successor. To be followed by {@link barrier}. Throws SystemError. */
  store(name: string, fd: number): void {
    if (this.#socket === undefined) return
    sendDatagram(this.#libc, this.#socket, Buffer.from(storeMessage(name)), { descriptors: [fd] })
  }

  /** Has all kept descriptors of that name closed. */
  unstore(name: string): void {
    this.notify(unstoreMessage(name))
  }

  /** Resolves when everything sent before has been taken in; rejects when it is not in time. */
  async barrier(): Promise<void> {
    if (this.#socket === undefined) return
    const [read, write] = this.#libc.pipe()
    try {
      sendDatagram(this.#libc, this.#socket, Buffer.from('BARRIER=1'), { descriptors: [write] })
    } catch (error) {
      closeSync(read)
      throw error
    } finally {
      closeSync(write)
    }
    // It closes its copy, the last one, when it has come so far.
    if (!(await hangsUp(read, BARRIER_DEADLINE)))
      throw new Error(`the service manager has not answered within ${BARRIER_DEADLINE / 1000} s`)
  }
}

/** sd_watchdog_enabled(3). */
function watchdogOf({ WATCHDOG_USEC: time, WATCHDOG_PID: pid }: NodeJS.ProcessEnv): number | undefined {
  if (time === undefined || !/^\d+$/.test(time)) return undefined
  return pid === undefined || pid === String(process.pid) ? Number(time) / 1000 : undefined
}
