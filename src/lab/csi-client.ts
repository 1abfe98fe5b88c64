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

/** Milliseconds for one call: more than the plugin's own 10 s limit, so that it is the plugin that answers. */
const CALL_DEADLINE = 12_000

/** A call that came back with a status other than OK. */
export class CallError extends Error {
  override readonly name = 'CallError'
  /** The status's name: `INTERNAL`. */
  readonly code: string

  constructor(method: string, error: ServiceError) {
    super(`${method}: ${status[error.code]}: ${error.details}`, { cause: error })
    this.code = status[error.code]
  }
}

/** Calls any unary method that protobuf-es describes, over a unix socket. */
export class CsiClient implements Disposable {
  readonly #client: Client
  readonly #deadline: number

  /** `deadline`: milliseconds for one call. */
  constructor(socket: string, deadline = CALL_DEADLINE) {
    this.#deadline = deadline
    // grpc-js would send the socket's path as :authority, which servers refuse.
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), { 'grpc.default_authority': 'localhost' })
  }

  /** Rejects with CallError for any status but OK, also UNAVAILABLE when nobody listens. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const path = `/${method.parent.typeName}/${method.name}`
    return await new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes) => fromBinary(method.output, bytes),
        create(method.input, request),
        new Metadata(),
        { deadline: Date.now() + this.#deadline },
        (error, response) => {
          if (error !== null) reject(new CallError(path, error))
          else if (response === undefined) reject(new Error(`${path}: neither an answer nor an error`))
          else resolve(response)
        },
      )
    })
  }

  [Symbol.dispose](): void {
    this.#client.close()
  }
}
