import { closeSync } from 'node:fs'
import type { Libc } from '../libc.ts'
import { SocketFile } from './socket-file.ts'
import { AF_UNIX, unixAddress } from './unix-address.ts'

const SOCK_STREAM_CLOEXEC = 1 | 0o2000000

/** The kernel cuts it down to net.core.somaxconn. */
export const BACKLOG = 4096

/** A listening unix socket. Clients can connect, and wait until a server or another process gets the descriptor and accepts. */
export class BoundSocket {
  readonly fd: number
  readonly file: SocketFile

  private constructor(fd: number, file: SocketFile) {
    this.fd = fd
    this.file = file
  }

  /**
   * Listens on a free path (see claimSocket() of unix-socket.ts). The file's mode is 0600 from the start. The descriptor has FD_CLOEXEC. Node's own
   * listen() is not used, because its close() removes whatever is at the path by then. Throws SystemError.
   */
  static listen(libc: Libc, path: string): BoundSocket {
    const fd = libc.checked('socket', path, 'int socket(int, int, int)', AF_UNIX, SOCK_STREAM_CLOEXEC, 0)
    const before = process.umask(0o177)
    try {
      const address = unixAddress(path)
      libc.checked('bind', path, 'int bind(int, void *, uint)', fd, address, address.length)
      libc.checked('listen', path, 'int listen(int, int)', fd, BACKLOG)
      return new BoundSocket(fd, new SocketFile(path))
    } catch (error) {
      closeSync(fd)
      throw error
    } finally {
      process.umask(before)
    }
  }
}
