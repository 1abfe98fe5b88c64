import { closeSync } from 'node:fs'
import type { Logger } from '../log.ts'
import { BoundSocket } from '../os/sockets/bound-socket.ts'
import type { Libc } from '../os/libc.ts'
import type { SocketFile } from '../os/sockets/socket-file.ts'
import { SocketGuard } from '../os/sockets/socket-guard.ts'
import { claimSocket } from '../os/sockets/unix-socket.ts'
import type { Passed } from './command.ts'

/** A unix socket that is listened on for the program. If its file vanishes it is made again, and the program has to be started again to get it. */
export class KeptSocket implements Passed, Disposable {
  /** What the program knows it by. */
  readonly name: string
  #bound: BoundSocket
  readonly #guard: SocketGuard
  #closed = false

  private constructor(bound: BoundSocket, name: string, renew: () => Promise<BoundSocket>, onRenewed: () => void, log: Logger) {
    this.name = name
    this.#bound = bound
    const replace = async (): Promise<SocketFile> => {
      const next = await renew()
      this.#replace(next)
      if (!this.#closed) onRenewed()
      return next.file
    }
    this.#guard = new SocketGuard({ file: bound.file, renew: replace, log })
  }

  /** Rejects with ProgramError if another file or program has the path, or with SystemError. `onRenewed`: called when {@link fd} has changed. */
  static async open(libc: Libc, path: string, name: string, onRenewed: () => void, log: Logger): Promise<KeptSocket> {
    const bind = async (): Promise<BoundSocket> => {
      await claimSocket(path)
      return BoundSocket.listen(libc, path)
    }
    return new KeptSocket(await bind(), name, bind, onRenewed, log)
  }

  get fd(): number {
    return this.#bound.fd
  }

  /** Removes the socket, unless something else is at its path by now. */
  [Symbol.dispose](): void {
    this.#closed = true
    this.#guard[Symbol.dispose]()
    remove(this.#bound)
  }

  #replace(next: BoundSocket): void {
    if (this.#closed) {
      remove(next)
      return
    }
    closeSync(this.#bound.fd)
    this.#bound = next
  }
}

function remove({ fd, file }: BoundSocket): void {
  file.remove()
  closeSync(fd)
}
