import { closeSync, lstatSync, type Stats, unlinkSync } from 'node:fs'
import type { Libc } from './libc.ts'
import { AF_UNIX, unixAddress } from './unix-address.ts'
import { claimSocket } from './unix-socket.ts'

const SOCK_STREAM_CLOEXEC = 1 | 0o2000000

/** The kernel cuts it down to net.core.somaxconn. */
const BACKLOG = 4096

/** A unix socket that is listened on for another process: nobody of ours accepts, so that clients wait until it is passed on. */
export class PassedSocket {
  readonly path: string
  /** What the other process knows it by. */
  readonly name: string
  readonly fd: number
  readonly #made: Stats

  private constructor(path: string, name: string, fd: number) {
    this.path = path
    this.name = name
    this.fd = fd
    this.#made = lstatSync(path)
  }

  /** Listens, mode 0600 from the first moment on. Rejects with ProgramError when something is in the way, or SystemError. */
  static async open(libc: Libc, path: string, name: string): Promise<PassedSocket> {
    await claimSocket(path)
    const fd = libc.checked('socket', path, 'int socket(int, int, int)', AF_UNIX, SOCK_STREAM_CLOEXEC, 0)
    const before = process.umask(0o177)
    try {
      const address = unixAddress(path)
      libc.checked('bind', path, 'int bind(int, void *, uint)', fd, address, address.length)
      libc.checked('listen', path, 'int listen(int, int)', fd, BACKLOG)
      return new PassedSocket(path, name, fd)
    } catch (error) {
      closeSync(fd)
      throw error
    } finally {
      process.umask(before)
    }
  }

  /** Removes the socket, unless somebody has put another in its place. */
  close(): void {
    const there = lstatSync(this.path, { throwIfNoEntry: false })
    if (there?.ino === this.#made.ino && there.dev === this.#made.dev) unlinkSync(this.path)
    closeSync(this.fd)
  }
}
