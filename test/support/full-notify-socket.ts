import assert from 'node:assert/strict'
import { closeSync } from 'node:fs'
import { join } from 'node:path'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { DatagramSocket, sendDatagram } from '../../src/os/unix-datagram.ts'

/** A notify socket whose queue is full, and that nobody reads before {@link NotifySocket.read}. */
export class FullNotifySocket implements Disposable {
  readonly path: string
  readonly #libc = new Libc(new AddonLoader())
  readonly #socket: DatagramSocket
  #reader: NodeJS.Timeout | undefined

  constructor(folder: string) {
    this.path = join(folder, 'notify')
    this.#socket = DatagramSocket.bind(this.#libc, this.path, 4096)
    this.fill()
  }

  /** The messages that came, once it is read; each with its descriptors closed, as a service manager that keeps none. */
  readonly messages: string[] = []

  fill(): void {
    assert.throws(
      () => {
        for (;;) sendDatagram(this.#libc, this.path, Buffer.from('X=1'))
      },
      { code: 'EAGAIN' },
    )
  }

  /** Reads from now on. */
  read(): void {
    this.#reader = setInterval(() => {
      for (let next = this.#socket.receive(); next !== undefined; next = this.#socket.receive()) {
        for (const fd of next.descriptors) closeSync(fd)
        const text = next.payload.toString()
        if (text !== 'X=1') this.messages.push(text)
      }
    }, 5)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#reader)
    closeSync(this.#socket.fd)
  }
}
