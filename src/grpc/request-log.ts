import {
  type DescField,
  type DescMessage,
  getOption,
  type JsonObject,
  type JsonValue,
  type Message,
  toJson,
} from '@bufbuild/protobuf'
import type { StatusObject } from '@grpc/grpc-js'
import type { Logger } from '../log.ts'
import { csi_secret } from '../rpc/csi_pb.ts'
import { namesSecret, STRIPPED } from '../secrets.ts'
import { codeName } from './code-name.ts'
import type { UnaryInterceptor } from './service.ts'

/** Entries of a list that a log shows: the answer about a thousand sessions would be 200 KB. */
const MOST_ENTRIES = 20

/** Characters of a message that a log shows. */
const MOST_CHARACTERS = 16_384

/** Logs every call as the original project does, with a counter `[ID:n]` and without secrets and tokens. `toStatus` gives each failure its status. */
export function requestLog(log: Logger, toStatus: (error: unknown) => StatusObject): UnaryInterceptor {
  let last = 0
  return async (method, request, act) => {
    const id = ++last
    log.info('GRPC call', { id, data: `/${method.parent.typeName}/${method.name}` })
    log.info('GRPC request', { id, data: shown(method.input, request) })
    try {
      const response = await act()
      log.info('GRPC response', { id, data: shown(method.output, response) })
      return response
    } catch (error) {
      const failed = toStatus(error)
      log.error('GRPC error', { id, data: `rpc error: code = ${codeName(failed.code)} desc = ${failed.details}` })
      // gRPC statuses are plain objects to grpc-js.
      // oxlint-disable-next-line typescript/only-throw-error
      throw failed
    }
  }
}

/**
 * A message as a log shows it: {@link stripped}, with no more than the first entries of each of its lists, and as its first characters
 * where it is still too long for a line.
 */
export function shown(desc: DescMessage, message: Message): JsonValue {
  const long = desc.fields.filter((field) => field.fieldKind === 'list' && listIn(message, field).length > MOST_ENTRIES)
  const cut = long.map((field) => [field.localName, listIn(message, field).slice(0, MOST_ENTRIES)] as const)
  const json = stripped(desc, { ...message, ...Object.fromEntries(cut) })
  if (isObject(json)) {
    for (const field of long) {
      const first = json[field.name]
      const more = `and ${listIn(message, field).length - MOST_ENTRIES} more`
      if (Array.isArray(first)) json[field.name] = [...first, more]
    }
  }
  const text = JSON.stringify(json)
  return text.length <= MOST_CHARACTERS ? json : `${text.slice(0, MOST_CHARACTERS)}… (${text.length} characters)`
}

function listIn(message: Message, { localName }: DescField): readonly unknown[] {
  const value: unknown = Reflect.get(message, localName)
  return Array.isArray(value) ? value : []
}

/** A message as JSON with the proto's field names, its csi_secret fields, service-account tokens and other values whose key names a secret replaced. */
export function stripped(desc: DescMessage, message: Message): JsonValue {
  return strip(desc, toJson(desc, message, { useProtoFieldName: true }))
}

function strip(desc: DescMessage, json: JsonValue): JsonValue {
  if (!isObject(json)) return json
  const out: Record<string, JsonValue> = { ...json }
  for (const field of desc.fields) {
    const value = out[field.name]
    if (value !== undefined) out[field.name] = stripField(field, value)
  }
  return out
}

function stripField(field: DescField, value: JsonValue): JsonValue {
  if (isSecret(field)) return isObject(value) ? mapValues(value, () => STRIPPED) : STRIPPED
  if (field.fieldKind === 'map' && field.mapKind === 'scalar' && isObject(value))
    return mapValues(value, (inner, key) => (namesSecret(key) ? STRIPPED : inner))
  if (field.message === undefined) return value
  const { message } = field
  if (field.fieldKind === 'map' && isObject(value)) return mapValues(value, (inner) => strip(message, inner))
  if (Array.isArray(value)) return value.map((inner) => strip(message, inner))
  return strip(message, value)
}

/** Most fields have no options at all, and an extension is decoded anew each time that it is asked for. */
function isSecret(field: DescField): boolean {
  return field.proto.options !== undefined && getOption(field, csi_secret)
}

function mapValues(object: JsonObject, map: (value: JsonValue, key: string) => JsonValue): JsonObject {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value, key)]))
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
