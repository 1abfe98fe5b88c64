import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import type { Callable, Libc } from '../os/libc.ts'

/** send(2) and recv(2). */
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const MSG_TRUNC = 0x20

const SOL_SOCKET = 1
const SO_SNDBUFFORCE = 32

/** Bytes of messages that wait in one direction. The kernel's own default has room for one large reply. */
const SEND_BUFFER = 16 * 1024 * 1024

/** Milliseconds after which messages that found no room are tried again. */
const RETRY = 5

/** Our end of what a daemon takes for its /dev/fuse: a socket that keeps the bounds of messages. No call of it waits. */
export class DaemonChannel {
  readonly fd: number
  readonly #libc: Libc
  readonly #send: Callable
  readonly #receive: Callable
  /** Messages that found no room, in their order. */
  readonly #waiting: Buffer[] = []
  #retry: NodeJS.Timeout | undefined
  #closed = false

  /** `fd`: one end of a pair, which this closes. */
  constructor(libc: Libc, fd: number) {
    this.#libc = libc
    this.fd = fd
    this.#send = libc.foreign('long send(int, void *, ulong, int)')
    this.#receive = libc.foreign('long recv(int, void *, ulong, int)')
    widen(libc, fd)
  }

  /** Sends the first `length` bytes of a buffer, which the caller may use again. What a daemon that has ended does not take is lost. */
  send(buffer: Buffer, length: number): void {
    if (this.#closed) return
    if (this.#waiting.length > 0 || !this.#sent(buffer, length)) this.#wait(Buffer.from(buffer.subarray(0, length)))
  }

  /** The next message: its length, which may be more than the buffer has room for; 0: the daemon has closed its end; undefined: there is none. */
  receive(buffer: Buffer): number | undefined {
    const length = Number(this.#receive(this.fd, buffer, buffer.length, MSG_DONTWAIT | MSG_TRUNC))
    if (length >= 0) return length
    return this.#libc.errno() === constants.errno.EAGAIN ? undefined : 0
  }

  /** May be called twice. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#retry)
    closeSync(this.fd)
  }

  #wait(message: Buffer): void {
    this.#waiting.push(message)
    this.#retry ??= setTimeout(() => this.#tryAgain(), RETRY)
  }

  #tryAgain(): void {
    this.#retry = undefined
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (!this.#sent(next, next.length)) {
        this.#retry = setTimeout(() => this.#tryAgain(), RETRY)
        return
      }
      this.#waiting.shift()
    }
  }

  /** False if there is no room. */
  #sent(buffer: Buffer, length: number): boolean {
    if (Number(this.#send(this.fd, buffer, length, MSG_DONTWAIT | MSG_NOSIGNAL)) >= 0) return true
    const errno = this.#libc.errno()
    return errno !== constants.errno.EAGAIN && errno !== constants.errno.ENOBUFS
  }
}

/** Gives a socket room for many messages, as far as the process may (CAP_NET_ADMIN). */
export function widen(libc: Libc, fd: number): void {
  const size = Buffer.alloc(4)
  size.writeInt32LE(SEND_BUFFER)
  libc.foreign('int setsockopt(int, int, int, void *, uint)')(fd, SOL_SOCKET, SO_SNDBUFFORCE, size, size.length)
}
