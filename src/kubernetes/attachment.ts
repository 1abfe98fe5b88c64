import { PassThrough } from 'node:stream'
import { Attach } from '@kubernetes/client-node'
import { unlessAborted } from '../call-context.ts'
import { LineCutter } from '../line-cutter.ts'
import { ApiError, reasonOf } from './api-server.ts'
import type { Cluster } from './cluster.ts'
import type { LoggedContainer } from './pod-log.ts'

/** The part of a WebSocket of the client that is used. */
interface Connection {
  on(event: 'close' | 'error', listener: () => void): void
  terminate(): void
}

/** A connection to the standard input and output of a container's process. */
export class Attachment implements Disposable {
  readonly #connection: Connection
  readonly #stdin: PassThrough
  /** Resolves when the connection has ended, by whichever side. */
  readonly closed: Promise<void>

  private constructor(connection: Connection, stdin: PassThrough) {
    this.#connection = connection
    this.#stdin = stdin
    this.closed = new Promise((resolve) => {
      connection.on('close', resolve)
      connection.on('error', () => connection.terminate())
    })
  }

  /**
   * Attaches to a container whose pod has `stdin: true`. `onLine`: called with each line of its standard output. Rejects with ApiError, or with the signal's
   * reason. `time`: milliseconds until the connection must be there.
   */
  static async open(
    cluster: Cluster,
    { namespace, pod, container }: LoggedContainer,
    onLine: (line: string) => void,
    { signal, time }: { readonly signal: AbortSignal; readonly time: number },
  ): Promise<Attachment> {
    const stdin = new PassThrough()
    const stdout = new PassThrough()
    const lines = new LineCutter()
    stdout.on('data', (piece: Buffer) => {
      for (const line of lines.push(piece)) onLine(line)
    })
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(time)])
    const attaching = new Attach(cluster.config).attach(
      namespace,
      pod,
      container,
      stdout,
      null,
      stdin,
      false,
    ) as unknown as Promise<Connection>
    try {
      return new Attachment(await unlessAborted(attaching, deadline), stdin)
    } catch (error) {
      attaching.then(
        (connection) => connection.terminate(),
        () => undefined,
      )
      signal.throwIfAborted()
      const why = deadline.aborted ? `none came within ${time / 1000} s` : messageOfEvent(error)
      throw new ApiError(`cannot attach to pod ${pod} by ${cluster.server}: ${why}`, undefined, { cause: error })
    }
  }

  /** Writes a line to the standard input. */
  send(line: string): void {
    this.#stdin.write(`${line}\n`)
  }

  [Symbol.dispose](): void {
    this.#connection.terminate()
  }
}

/** A WebSocket fails by an event that has a message. */
function messageOfEvent(error: unknown): string {
  const { message } = error as { message?: unknown }
  return typeof message === 'string' ? message : reasonOf(error)
}
