import type { Socket } from 'node:net'
import { messageOf } from '../errors.ts'
import { LineCutter } from '../line-cutter.ts'
import type { Logger } from '../log.ts'
import type { Libc } from '../os/libc.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import { ListeningSocket } from '../os/sockets/listening-socket.ts'
import { jsonOrUndefined } from '../schema.ts'
import { type ControlRequest, REQUEST } from './control-protocol.ts'

/** Milliseconds for which a client's request is waited for, and at the end for clients to take their answers. */
const PATIENCE = 5000

/** Characters of the longest request: a command has at most 2 MiB of words (execve(2)). */
const LONGEST = 4 * 1024 * 1024

/** Answers the commands that are about a shield. */
export class ControlServer {
  readonly #socket: ListeningSocket
  readonly #answer: (request: ControlRequest) => Promise<object>
  readonly #connections = new Set<Promise<void>>()

  private constructor(socket: ListeningSocket, answer: (request: ControlRequest) => Promise<object>) {
    this.#socket = socket
    this.#answer = answer
    socket.serve((connection) => {
      const over = this.#serve(connection).finally(() => this.#connections.delete(over))
      this.#connections.add(over)
    })
  }

  /** `answer`: rejects with Error, whose message says why something cannot be done. Rejects with SystemError or Node's error if the path is not free. */
  static async open(
    libc: Libc,
    path: string,
    log: Logger,
    answer: (request: ControlRequest) => Promise<object>,
  ): Promise<ControlServer> {
    return new ControlServer(await ListeningSocket.open(libc, path, log), answer)
  }

  /** Takes no more requests, and resolves when those that were taken are answered. */
  async close(): Promise<void> {
    // What it waits for is the end of the connections, which the answers end.
    await settledWithin(Promise.all([this.#socket.close(), ...this.#connections]), PATIENCE)
  }

  async #serve(connection: Socket): Promise<void> {
    // A client that has gone is not told.
    connection.on('error', () => undefined)
    const line = await lineOf(connection)
    const request = line === undefined ? undefined : jsonOrUndefined(REQUEST, line)
    const answer = request === undefined ? { ok: false, why: 'it does not understand the request' } : await this.#answered(request)
    await new Promise<void>((resolve) => {
      connection.once('close', () => resolve())
      if (connection.destroyed) resolve()
      connection.end(`${JSON.stringify(answer)}\n`)
    })
  }

  async #answered(request: ControlRequest): Promise<object> {
    try {
      return { ok: true, ...(await this.#answer(request)) }
    } catch (error) {
      return { ok: false, why: messageOf(error) }
    }
  }
}

/** The first line that a client sends; undefined if there is none in time. */
async function lineOf(connection: Socket): Promise<string | undefined> {
  const lines = new LineCutter()
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const none = (): void => resolve(undefined)
  connection.once('close', none)
  connection.once('end', none)
  connection.on('data', (piece: Buffer) => {
    const [line] = lines.push(piece)
    if (line !== undefined) resolve(line)
    else if (lines.rest.length > LONGEST) none()
  })
  const line = await settledWithin(promise, PATIENCE)
  return line === 'late' ? undefined : line
}
