import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'

/** Milliseconds that any RPC of the plugin may take, whatever the file systems do. */
export const RPC_LIMIT = 10_000

/** A call that came back with a status other than OK, under the status's name: `FAILED_PRECONDITION`. */
export class CallError extends Error {
  override readonly name = 'CallError'
  readonly code: string
  readonly details: string

  constructor(method: string, error: ServiceError) {
    super(`${method}: ${status[error.code]}: ${error.details}`, { cause: error })
    this.code = status[error.code]
    this.details = error.details
  }
}

/** Calls any unary method that protobuf-es describes, over a unix socket. */
export class CsiClient implements Disposable {
  /** The grpc-js client itself, for streams and for requests that are no messages. */
  readonly raw: Client

  constructor(socket: string) {
    // grpc-js would send the socket's path as :authority, which its own server refuses.
    this.raw = new Client(`unix:${socket}`, credentials.createInsecure(), {
      'grpc.default_authority': 'localhost',
      'grpc.enable_retries': 0,
      'grpc.enable_channelz': 0,
    })
  }

  /** Rejects with CallError, also DEADLINE_EXCEEDED with the client's own words when the plugin does not keep to {@link RPC_LIMIT}. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I> = {} as MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const path = `/${method.parent.typeName}/${method.name}`
    return await new Promise((resolve, reject) => {
      this.raw.makeUnaryRequest(
        path,
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes) => fromBinary(method.output, bytes),
        create(method.input, request),
        new Metadata(),
        { deadline: Date.now() + RPC_LIMIT },
        (error, response) => {
          if (error !== null) reject(new CallError(method.name, error))
          else if (response === undefined) reject(new Error(`${method.name}: neither an answer nor an error`))
          else resolve(response)
        },
      )
    })
  }

  [Symbol.dispose](): void {
    this.raw.close()
  }
}

/** The name of the status that a call ends with, `OK` among them, and its words. */
export async function outcome(call: Promise<unknown>): Promise<{ readonly code: string; readonly details: string }> {
  try {
    await call
    return { code: 'OK', details: '' }
  } catch (error) {
    if (error instanceof CallError) return { code: error.code, details: error.details }
    throw error
  }
}
