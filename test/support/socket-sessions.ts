import { closeSync, readSync } from 'node:fs'
import { DummyFs } from '../../src/dummyfs/dummyfs.ts'
import { codeOf } from '../../src/errors.ts'
import type { FileSystem } from '../../src/fuse/filesystem.ts'
import type { Command, ServerEvent } from '../../src/fuse/session/messages.ts'
import { SessionServer } from '../../src/fuse/session/server.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { wake } from '../../src/os/descriptors/eventfd.ts'
import { Libc } from '../../src/os/libc.ts'
import type { Reply } from './fake-device.ts'

const libc = new Libc(new AddonLoader())
const SOCK_SEQPACKET_NONBLOCK = 5 | 0o4000
const LONGEST_REPLY = 256 * 1024

/** A socket that keeps messages apart in place of /dev/fuse: the session's end and the kernel's. Neither waits. */
export function socketDevice(): readonly [fd: number, kernel: number] {
  const pair = Buffer.alloc(8)
  libc.checked('socketpair', undefined, 'int socketpair(int, int, int, void *)', 1, SOCK_SEQPACKET_NONBLOCK, 0, pair)
  return [pair.readInt32LE(0), pair.readInt32LE(4)]
}

/** The next reply that has come to the kernel's end of {@link socketDevice}. Throws EAGAIN if there is none. */
export function readReply(kernel: number): Reply {
  const buffer = Buffer.alloc(LONGEST_REPLY)
  const bytes = buffer.subarray(0, readSync(kernel, buffer))
  if (bytes.readUInt32LE(0) !== bytes.length)
    throw new Error(`a reply of ${bytes.length} bytes says that it has ${bytes.readUInt32LE(0)}`)
  return { unique: bytes.readBigUInt64LE(8), errno: 0 - bytes.readInt32LE(4), body: bytes.subarray(16) }
}

/** A server of sessions each of which has a socket that keeps messages apart in place of /dev/fuse. The test is the kernel. */
export class SocketSessions implements Disposable {
  readonly server: SessionServer
  readonly events: ServerEvent[] = []
  readonly #queue: Command[] = []
  readonly #wakeFd = libc.eventfd()
  readonly #descriptors: number[] = []

  /** The session `id` is served out of `filesystem(id)`. */
  constructor(filesystem: (id: string) => FileSystem = () => new DummyFs()) {
    this.server = new SessionServer({
      libc,
      filesystem: ({ faults: [id = ''] }) => filesystem(id),
      pollTime: 0,
      inbox: { wakeFd: this.#wakeFd, commands: () => this.#queue.splice(0) },
      emit: (event) => this.events.push(event),
    })
  }

  /** Has the server obey a command. */
  tell(command: Command): void {
    this.#queue.push(command)
    wake(this.#wakeFd)
    this.server.turn(1000)
  }

  /** Begins a session and returns the kernel's end of it, from which a read fails with EAGAIN where there is no reply. */
  attach(id: string, options: readonly string[] = []): number {
    const [fd, kernel] = socketDevice()
    this.#descriptors.push(fd, kernel)
    this.tell({ type: 'attach', session: { id, fd, options, faults: [id], resend: false, holdInit: false } })
    return kernel
  }

  /** The next reply that has come to the kernel's end. Throws EAGAIN if there is none. */
  reply(kernel: number): Reply {
    return readReply(kernel)
  }

  /** All replies that have come to the kernel's end. */
  replies(kernel: number): Reply[] {
    const all: Reply[] = []
    for (;;) {
      try {
        all.push(this.reply(kernel))
      } catch (error) {
        if (codeOf(error) === 'EAGAIN') return all
        throw error
      }
    }
  }

  [Symbol.dispose](): void {
    this.server.close()
    for (const fd of [...this.#descriptors, this.#wakeFd]) closeSync(fd)
  }
}
