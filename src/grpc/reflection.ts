import {
  create,
  createRegistry,
  type DescFile,
  type DescService,
  type MessageInitShape,
  type Registry,
  toBinary,
} from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { type handleBidiStreamingCall, status } from '@grpc/grpc-js'
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from '../rpc/reflection_v1_pb.ts'

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>

/**
 * gRPC server reflection (grpc/reflection/v1/reflection.proto), from the descriptors that the generated types carry. v1alpha has the same
 * fields and numbers, so one implementation answers both.
 */
export class Reflection {
  readonly #services: readonly DescService[]
  readonly #files: ReadonlyMap<string, DescFile>
  readonly #registry: Registry

  constructor(services: readonly DescService[]) {
    this.#services = services
    this.#files = withDependencies(services.map(({ file }) => file))
    this.#registry = createRegistry(...this.#files.values())
  }

  /** The service's only method, for as many requests as the client has. */
  readonly handle: handleBidiStreamingCall<ServerReflectionRequest, ServerReflectionResponse> = (call) => {
    call.on('data', (request: ServerReflectionRequest) => {
      const messageResponse = this.#answer(request)
      call.write(create(ServerReflectionResponseSchema, { validHost: request.host, originalRequest: request, messageResponse }))
    })
    call.on('end', () => {
      call.end()
    })
  }

  #answer({ messageRequest }: ServerReflectionRequest): Answer {
    switch (messageRequest.case) {
      case 'listServices':
        return { case: 'listServicesResponse', value: { service: this.#services.map(({ typeName }) => ({ name: typeName })) } }
      case 'fileByFilename':
        return filesOrError(this.#files.get(messageRequest.value), messageRequest.value)
      case 'fileContainingSymbol':
        return filesOrError(this.#fileOf(messageRequest.value), messageRequest.value)
      case 'fileContainingExtension': {
        const { containingType, extensionNumber } = messageRequest.value
        const message = this.#registry.getMessage(containingType)
        const extension = message === undefined ? undefined : this.#registry.getExtensionFor(message, extensionNumber)
        return filesOrError(extension?.file, `${containingType} extension ${extensionNumber}`)
      }
      case 'allExtensionNumbersOfType': {
        const baseTypeName = messageRequest.value
        const numbers = [...this.#registry].flatMap((type) =>
          type.kind === 'extension' && type.extendee.typeName === baseTypeName ? [type.number] : [],
        )
        if (this.#registry.getMessage(baseTypeName) === undefined) return notFound(baseTypeName)
        return { case: 'allExtensionNumbersResponse', value: { baseTypeName, extensionNumber: numbers } }
      }
      case undefined:
        return {
          case: 'errorResponse',
          value: { errorCode: status.INVALID_ARGUMENT, errorMessage: 'the request asks for nothing' },
        }
    }
  }

  /** The file of a message, enum, service or extension, or of a part of one (`csi.v1.Node.NodeGetInfo`, `csi.v1.Volume.volume_id`). */
  #fileOf(symbol: string): DescFile | undefined {
    const own = this.#registry.get(symbol)
    if (own !== undefined) return own.file
    const [, scope = '', last] = /^(.*)\.(.*)$/.exec(symbol) ?? []
    const holds = (parts: readonly { readonly name: string }[]): boolean => parts.some(({ name }) => name === last)
    const whole = [...this.#registry].find((type) => {
      if (type.kind === 'service') return type.typeName === scope && holds(type.methods)
      if (type.kind === 'message') return type.typeName === scope && (holds(type.fields) || holds(type.oneofs))
      // The full name of an enum's value has the enum's scope, not the enum itself (descriptor.proto, EnumValueDescriptorProto).
      return type.kind === 'enum' && (type.parent?.typeName ?? type.file.proto.package) === scope && holds(type.values)
    })
    return whole?.file
  }
}

function filesOrError(file: DescFile | undefined, what: string): Answer {
  if (file === undefined) return notFound(what)
  const fileDescriptorProto = [...withDependencies([file]).values()].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto))
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } }
}

function notFound(what: string): Answer {
  return { case: 'errorResponse', value: { errorCode: status.NOT_FOUND, errorMessage: `${what} is not known here` } }
}

/** Files with all that they import, by their names. */
function withDependencies(files: readonly DescFile[]): Map<string, DescFile> {
  const all = new Map<string, DescFile>()
  const add = (file: DescFile): void => {
    const name = file.proto.name
    if (all.has(name)) return
    all.set(name, file)
    file.dependencies.forEach(add)
  }
  files.forEach(add)
  return all
}
