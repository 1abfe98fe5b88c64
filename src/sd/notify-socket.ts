import { closeSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import { type Datagram, DatagramSocket } from '../os/sockets/unix-datagram.ts'
import { closeInThread } from '../os/descriptors/close-in-thread.ts'
import type { Libc } from '../os/libc.ts'
import { LONGEST, type Notice, parseNotice } from './notify-message.ts'
import type { RateLimitedLog } from '../os/rate-limited-log.ts'

/** More than one socket's queue holds (net.unix.max_dgram_qlen), so that what had been sent when it began is read. */
const AT_ONCE = 4096

export interface NotifyHandler {
  /** Whether a process may send us messages. */
  readonly mayNotify: (sender: NotifySenderId) => boolean
  /** Takes a message and its descriptors over; the descriptors are its own to close. */
  readonly notice: (notice: Notice, descriptors: readonly number[], pid: number) => void
}

/** The sender of a message as the kernel vouches for it. `pid` is 0 for a process of another PID namespace (unix(7), SCM_CREDENTIALS). */
export type NotifySenderId = NonNullable<Datagram['sender']>

/** A socket that takes messages of sd_notify(3) in. */
export class NotifySocket {
  readonly address: string
  readonly #libc: Libc
  readonly #socket: DatagramSocket
  readonly #handler: NotifyHandler
  readonly #log: RateLimitedLog

  /** `address`: a path, or with a leading `@` an abstract name. Throws SystemError. */
  constructor(libc: Libc, address: string, handler: NotifyHandler, log: RateLimitedLog) {
    this.address = address
    this.#libc = libc
    this.#socket = DatagramSocket.bind(libc, this.address, LONGEST)
    this.#handler = handler
    this.#log = log
  }

  get fd(): number {
    return this.#socket.fd
  }

  /** Handles what has come, in its order. Never throws: what a process sends is not to end us. */
  drain(): void {
    for (let count = 0; count < AT_ONCE; count++) {
      try {
        const datagram = this.#socket.receive()
        if (datagram === undefined) return
        this.#take(datagram)
      } catch (error) {
        this.#log.warning('receive', `cannot handle a message: ${messageOf(error)}`)
        return
      }
    }
  }

  close(): void {
    closeSync(this.fd)
  }

  #take({ payload, descriptors, sender, truncated, controlTruncated }: Datagram): void {
    const pid = sender?.pid ?? 0
    const notice = truncated ? `it is longer than ${LONGEST} bytes` : parseNotice(payload)
    const known = sender !== undefined && this.#handler.mayNotify(sender)
    let refused: string | undefined
    if (!known) refused = 'it is not one of the program’s processes'
    else if (controlTruncated) refused = 'some of its descriptors were lost; raise the limit of open files'
    else if (typeof notice === 'string') refused = notice
    if (refused !== undefined || typeof notice === 'string') {
      for (const fd of descriptors) closeInThread(this.#libc, fd)
      this.#log.warning(known ? 'message' : 'stranger', `ignored a message of process ${pid}: ${refused ?? ''}`)
      return
    }
    for (const flaw of notice.flaws) this.#log.warning('message', `in a message of process ${pid}: ${flaw}`)
    this.#handler.notice(notice, descriptors, pid)
  }
}
