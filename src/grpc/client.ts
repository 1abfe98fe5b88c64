import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js'
import { wasAnswered } from './answered.ts'
import { expiringIn } from './call-deadline.ts'

/** A call that came back with a status other than OK. Its message names the path of the call: `/csi.v1.Node/NodeStageVolume`. */
export class CallError extends Error {
  override readonly name = 'CallError'
  /** The status's name: `UNAVAILABLE`. */
  readonly code: string
  readonly details: string
  /** Whether the program itself has answered so (answered.ts): another attempt at once meets the same. */
  readonly answered: boolean

  constructor(path: string, error: ServiceError) {
    super(`${path}: ${status[error.code]}: ${error.details}`, { cause: error })
    this.code = status[error.code]
    this.details = error.details
    this.answered = wasAnswered(error)
  }
}

/** Calls any unary method that protobuf-es describes, over a unix socket. */
export class GrpcClient implements Disposable {
  protected readonly client: Client

  constructor(socket: string) {
    // grpc-js would send the socket's path as :authority, which its own server refuses.
    this.client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      'grpc.default_authority': 'localhost',
      'grpc.enable_retries': 0,
      'grpc.enable_channelz': 0,
    })
  }

  /**
   * Rejects with CallError: UNAVAILABLE when nobody listens or the connection breaks, DEADLINE_EXCEEDED after `deadline` milliseconds,
   * CANCELLED once `signal` is aborted.
   */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    deadline: number,
    signal?: AbortSignal,
  ): Promise<MessageShape<O>> {
    const path = `/${method.parent.typeName}/${method.name}`
    return await new Promise((resolve, reject) => {
      const call = this.client.makeUnaryRequest(
        path,
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes) => fromBinary(method.output, bytes),
        create(method.input, request),
        expiringIn(deadline),
        { deadline: Date.now() + deadline },
        (error, response) => {
          signal?.removeEventListener('abort', cancel)
          if (error !== null) reject(new CallError(path, error))
          else if (response === undefined) reject(new Error(`${path}: neither an answer nor an error`))
          else resolve(response)
        },
      )
      const cancel = (): void => {
        call.cancel()
      }
      if (signal?.aborted === true) cancel()
      else signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  [Symbol.dispose](): void {
    this.client.close()
  }
}
