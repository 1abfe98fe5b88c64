import {
  create,
  type DescMethod,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type Message,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import type {
  handleUnaryCall,
  MethodDefinition,
  ServerErrorResponse,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { type CallContext, type CallLimits, type RunningCall, unlessAborted } from '../call-context.ts'
import { beginCall } from './call-deadline.ts'

/** Answers one unary method within its time: from a request to the response's fields. What it throws becomes the call's status. */
export type UnaryHandler<M extends DescMethodUnary = DescMethodUnary> = (
  request: MessageShape<M['input']>,
  call: CallContext,
) => Promise<MessageInitShape<M['output']>> | MessageInitShape<M['output']>

/** Handlers for unary methods of a service, by their names with a small first letter; those left out are not implemented. */
export type UnaryHandlers<S extends DescService> = {
  readonly [K in keyof S['method'] as S['method'][K] extends DescMethodUnary ? K : never]?: S['method'][K] extends DescMethodUnary
    ? UnaryHandler<S['method'][K]>
    : never
}

/** Stands around every unary call: it is given the call's method and request and runs `act`. What it throws is a grpc-js StatusObject. */
export type UnaryInterceptor = <R extends Message>(method: DescMethod, request: Message, act: () => Promise<R>) => Promise<R>

/** A service as grpc-js wants it: its methods with their paths and serializers. */
export function serviceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((method) => [
      method.localName,
      {
        path: `/${service.typeName}/${method.name}`,
        requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
        responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
        requestSerialize: (message: MessageShape<typeof method.input>) => Buffer.from(toBinary(method.input, message)),
        requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
        responseSerialize: (message: MessageShape<typeof method.output>) => Buffer.from(toBinary(method.output, message)),
        responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
        originalName: method.name,
      } satisfies MethodDefinition<never, never> | object,
    ]),
  )
}

/**
 * Unary handlers as grpc-js wants them. This is the border at which each call gets its deadline: the client's own or that of `limits`,
 * whichever is sooner. A handler that is not done by then is answered for; it goes on undoing. A method that has no handler is left
 * out, and answered UNIMPLEMENTED.
 */
export function unaryImplementation(
  service: DescService,
  handlers: Readonly<Record<string, UnaryHandler>>,
  intercept: UnaryInterceptor,
  limits: CallLimits,
): UntypedServiceImplementation {
  return Object.fromEntries(
    service.methods.flatMap((method) => {
      const handler = handlers[method.localName]
      if (handler === undefined || !isUnary(method)) return []
      const handle: handleUnaryCall<Message, Message> = (received, done) => {
        const { request } = received
        const call = beginCall(received, limits)
        received.on('cancelled', () => {
          call.cancel()
        })
        const act = async (): Promise<Message> => create(method.output, await inTime(call, () => handler(request, call)))
        intercept(method, request, act).then(
          (response) => {
            done(null, response)
          },
          (error: unknown) => {
            done(error as ServerErrorResponse)
          },
        )
      }
      return [[method.localName, handle]]
    }),
  )
}

/** Runs a handler, and rejects in its place when the answer is due. */
async function inTime<T>(call: RunningCall, handle: () => Promise<T> | T): Promise<T> {
  call.signal.throwIfAborted()
  const handled = (async () => {
    using _ = call
    return await handle()
  })()
  return await unlessAborted(handled, call.cleanUp.signal)
}

function isUnary(method: DescMethod): method is DescMethodUnary & { parent: DescService; name: string } {
  return method.methodKind === 'unary'
}
