import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Libc } from './libc.ts'

/** Tells a service manager how we are, by sd_notify(3)'s protocol: newline-separated assignments in one datagram. */
export class ServiceManager {
  readonly #socket: string | undefined
  readonly #libc: Libc
  readonly #log: Logger

  /** Takes NOTIFY_SOCKET out of the environment: what we start is not to speak for us. */
  constructor(env: NodeJS.ProcessEnv, libc: Libc, log: Logger) {
    this.#socket = env.NOTIFY_SOCKET
    Reflect.deleteProperty(env, 'NOTIFY_SOCKET')
    this.#libc = libc
    this.#log = log
  }

  notify(...assignments: readonly string[]): void {
    if (this.#socket === undefined) return
    try {
      this.#libc.sendToUnix(this.#socket, Buffer.from(assignments.join('\n')))
    } catch (error) {
      this.#log.warning(`cannot notify the service manager: ${messageOf(error)}`)
    }
  }
}
