import { closeSync } from 'node:fs'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { DatagramSocket, sendDatagram } from '../../src/os/sockets/unix-datagram.ts'

/** The longest message in bytes, as systemd has it. */
const LONGEST = 4096

/** A message of sd_notify(3), and the process that the kernel says it came from. */
export interface Notification {
  readonly pid: number
  readonly text: string
}

/** A notify socket that keeps no descriptors. Messages wait in it until they are taken. */
export class NotifyInbox implements Disposable {
  readonly path: string
  readonly #libc = new Libc(new AddonLoader())
  readonly #socket: DatagramSocket

  constructor(path: string) {
    this.path = path
    this.#socket = DatagramSocket.bind(this.#libc, path, LONGEST)
  }

  /** Sends it a message. Throws SystemError EAGAIN when it is full. */
  send(text: string): void {
    sendDatagram(this.#libc, this.path, Buffer.from(text))
  }

  /** The messages that have come since. */
  take(): readonly Notification[] {
    const taken: Notification[] = []
    for (let next = this.#socket.receive(); next !== undefined; next = this.#socket.receive()) {
      for (const fd of next.descriptors) closeSync(fd)
      taken.push({ pid: next.sender?.pid ?? 0, text: next.payload.toString() })
    }
    return taken
  }

  [Symbol.dispose](): void {
    closeSync(this.#socket.fd)
  }
}
