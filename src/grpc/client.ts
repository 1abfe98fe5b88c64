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

/** The longest time that Node has a timer for, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1

/**
 * Whether the program was killed while the call was under way. grpc-js says INTERNAL if it sees the call's stream end before the connection does. A program that
 * answers sends a status.
 */
function isCutOff({ code, details }: ServiceError): boolean {
  return code === status.INTERNAL && details.startsWith('Received RST_STREAM with code 0')
}

/** The error with the status that fits: DEADLINE_EXCEEDED for a call that was cancelled at its deadline (`late`), UNAVAILABLE for one that was cut off. */
function withFittingStatus(error: ServiceError, late: boolean, deadline: number): ServiceError {
  if (late && error.code === status.CANCELLED)
    return Object.assign(error, { code: status.DEADLINE_EXCEEDED, details: `no answer within ${(deadline / 1000).toFixed(1)} s` })
  if (isCutOff(error)) return Object.assign(error, { code: status.UNAVAILABLE, details: 'the connection broke before the answer' })
  return error
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
      // Never. grpc-js counts it by the wall clock: after that is set back by weeks, its timer fires all the time.
      'grpc.client_idle_timeout_ms': LONGEST_TIMER,
    })
  }

  /**
   * Rejects with CallError: UNAVAILABLE if no process listens or the connection breaks, DEADLINE_EXCEEDED after `deadline` milliseconds, CANCELLED
   * once `signal` is aborted. The time is that of CLOCK_MONOTONIC.
   */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    deadline: number,
    signal?: AbortSignal,
  ): Promise<MessageShape<O>> {
    const path = `/${method.parent.typeName}/${method.name}`
    return await new Promise((resolve, reject) => {
      let late = false
      const call = this.client.makeUnaryRequest(
        path,
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes) => fromBinary(method.output, bytes),
        create(method.input, request),
        expiringIn(deadline),
        (error, response) => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', cancel)
          if (error !== null) reject(new CallError(path, withFittingStatus(error, late, deadline)))
          else if (response === undefined) reject(new Error(`${path}: neither an answer nor an error`))
          else resolve(response)
        },
      )
      const cancel = (): void => {
        call.cancel()
      }
      // grpc-js counts a deadline of its own by the wall clock.
      const timer = setTimeout(() => {
        late = true
        cancel()
      }, deadline)
      if (signal?.aborted === true) cancel()
      else signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  [Symbol.dispose](): void {
    this.client.close()
  }
}
