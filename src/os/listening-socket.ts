import { unlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { codeOf } from '../errors.ts'

/** A unix socket that is listened on before there is anybody to answer: clients connect at once and wait until they are taken. */
export class ListeningSocket {
  readonly path: string
  readonly #server: Server
  /** Whether the socket belongs to whoever handed it over, who goes on listening when we do not. */
  readonly #lent: boolean
  #waiting: Socket[] = []
  #take: ((connection: Socket) => void) | undefined

  private constructor(path: string, server: Server, lent: boolean) {
    this.path = path
    this.#lent = lent
    this.#server = server
    server.on('connection', (connection) => {
      if (this.#take === undefined) this.#waiting.push(connection)
      else this.#take(connection)
    })
  }

  /** Listens on a path that nothing may be in the way of. The socket's mode is 0600 from the first moment on. Rejects with Node's error. */
  static async open(path: string): Promise<ListeningSocket> {
    const server = createServer()
    const before = process.umask(0o177)
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject).listen(path, resolve)
      })
    } finally {
      process.umask(before)
    }
    return new ListeningSocket(path, server, false)
  }

  /** Takes the place of a predecessor at a socket that was handed over, already listened on. Rejects with Node's error. */
  static async adopt(fd: number, path: string): Promise<ListeningSocket> {
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen({ fd }, resolve)
    })
    return new ListeningSocket(path, server, true)
  }

  /** Hands over those who wait and all who come. */
  serve(take: (connection: Socket) => void): void {
    this.#take = take
    for (const connection of this.#waiting) take(connection)
    this.#waiting = []
  }

  /** Takes nobody any more and removes the socket. Connections that were handed over live on; resolves when the last has ended. */
  async close(): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve()
      })
    })
    if (!this.#lent) this.#remove()
    await ended
  }

  #remove(): void {
    try {
      unlinkSync(this.path)
    } catch (error) {
      // Node removes it as it closes.
      if (codeOf(error) !== 'ENOENT') throw error
    }
  }
}
