import { createServer, type Server, type Socket } from 'node:net'
import { messageOf } from '../../errors.ts'
import type { Logger } from '../../log.ts'
import { BACKLOG, BoundSocket } from './bound-socket.ts'
import type { Libc } from '../libc.ts'
import { RateLimitedLog } from '../rate-limited-log.ts'
import { SocketFile } from './socket-file.ts'
import { SocketGuard } from './socket-guard.ts'
import { claimSocket } from './unix-socket.ts'

/** What the owner of a {@link ListeningSocket} determines for the case that the socket's file is lost. */
export interface LossParts {
  /** See {@link claimSocket}. */
  readonly instead: string
  /** See SocketGuardParts of socket-guard.ts. */
  readonly onLost: (problem: string) => void
  readonly onRenewed: () => void
}

/** A unix socket that listens before a server serves it: clients connect at once and wait until they are served. */
export class ListeningSocket {
  readonly path: string
  /** The file at its path, if this process removes it. Another process listens on a socket that was passed to this one. */
  #file: SocketFile | undefined
  #guard: SocketGuard | undefined
  #server: Server
  readonly #rateLimitedLog: RateLimitedLog
  readonly #ends: Promise<void>[] = []
  #closed = false
  #waiting: Socket[] = []
  #take: ((connection: Socket) => void) | undefined

  private constructor(path: string, server: Server, file: SocketFile | undefined, log: Logger) {
    this.path = path
    this.#rateLimitedLog = new RateLimitedLog(log)
    this.#server = server
    this.#file = file
    this.#receive(server)
  }

  /**
   * Listens on a free path. The socket's mode is 0600 from the start. If its file is removed, it is made again; `loss`: if it cannot be made again.
   * Rejects with SystemError or Node's error.
   */
  static async open(libc: Libc, path: string, log: Logger, loss?: LossParts): Promise<ListeningSocket> {
    const { fd, file } = BoundSocket.listen(libc, path)
    const socket = new ListeningSocket(path, await serverOf(fd), file, log)
    const renew = async (): Promise<SocketFile> => await socket.#renew(libc, loss?.instead)
    socket.#guard = new SocketGuard({ file, renew, onLost: loss?.onLost, onRenewed: loss?.onRenewed, log })
    return socket
  }

  /**
   * Takes the place of a predecessor at a socket that was handed over, already listened on. `path`: its name. `advice`: what is to be done if its file vanishes;
   * undefined if the process that passed it makes it again. Rejects with Node's error.
   */
  static async adopt(fd: number, path: string, advice: string | undefined, log: Logger): Promise<ListeningSocket> {
    const socket = new ListeningSocket(path, await serverOf(fd), undefined, log)
    if (advice !== undefined) socket.#guard = new SocketGuard({ file: new SocketFile(path), renew: advice, log })
    return socket
  }

  /** Passes on the connections that wait, and each new one. */
  serve(take: (connection: Socket) => void): void {
    this.#take = take
    for (const connection of this.#waiting) take(connection)
    this.#waiting = []
  }

  /** Accepts no more connections and removes the socket. Connections that were passed on continue. Resolves when the last has ended. */
  async close(): Promise<void> {
    this.#closed = true
    this.#guard?.[Symbol.dispose]()
    this.#end(this.#server)
    this.#file?.remove()
    await Promise.all(this.#ends)
  }

  async #renew(libc: Libc, instead: string | undefined): Promise<SocketFile> {
    await claimSocket(this.path, instead)
    const { fd, file } = BoundSocket.listen(libc, this.path)
    const server = await serverOf(fd)
    if (this.#closed) {
      server.close()
      file.remove()
      return file
    }
    this.#receive(server)
    this.#end(this.#server)
    this.#server = server
    this.#file = file
    return file
  }

  #receive(server: Server): void {
    server.on('connection', (connection) => {
      if (this.#take === undefined) this.#waiting.push(connection)
      else this.#take(connection)
    })
    // Without a free descriptor (EMFILE) a client waits or is cut off; those that are connected go on.
    server.on('error', (error) => {
      this.#rateLimitedLog.warning('accept', `cannot accept a client at ${this.path}: ${messageOf(error)}`)
    })
  }

  #end(server: Server): void {
    this.#ends.push(
      new Promise<void>((resolve) => {
        server.close(() => {
          resolve()
        })
      }),
    )
  }
}

async function serverOf(fd: number): Promise<Server> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    // Beside a descriptor Node reads no backlog in the options, and takes 511.
    server.once('error', reject).listen({ fd }, BACKLOG, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return server
}
