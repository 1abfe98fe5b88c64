import { create, type DescField, type DescMessage, type Message, ScalarType, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'

/** Where strings come from: volume ids and paths that exist, beside anything. */
export interface Pool {
  /** For fields whose name ends in `path`. */
  readonly paths: readonly string[]
  /** For all others. */
  readonly values: readonly string[]
}

/** Strings that are meant to be taken for something else. */
const ODD = [
  '',
  '\0',
  'a\nb',
  '\u001b[2Jx',
  '../..',
  '%s%n',
  '-o',
  '{}',
  'ü€😀',
  'x'.repeat(129),
  'x'.repeat(5000),
  ' ',
  '__proto__',
  'constructor',
]

/** Numbers at the ends of their ranges. */
const NUMBERS = [0, 1, 2, 7, 127, 128, 255, 65_536, 2 ** 31 - 1]

/** How deep messages are nested; deeper ones are left away. */
const DEEPEST = 4

/** Any message of a type, as bytes on the wire: each field is left away or has a value of its kind. */
export function anyMessage(type: DescMessage, pool: Pool): fc.Arbitrary<Uint8Array> {
  return fields(type, pool, 0).map((values) => toBinary(type, create(type, values as never)))
}

/** Those bytes with some of them changed, cut off or put in. */
export function anyBytes(type: DescMessage, pool: Pool): fc.Arbitrary<Uint8Array> {
  const change = fc.tuple(fc.nat(), fc.nat(255), fc.constantFrom('change', 'cut', 'put in'))
  return fc.tuple(anyMessage(type, pool), fc.array(change, { maxLength: 4 })).map(([bytes, changes]) => changed(bytes, changes))
}

function changed(bytes: Uint8Array, changes: readonly (readonly [number, number, string])[]): Uint8Array {
  let now = [...bytes]
  for (const [where, byte, how] of changes) {
    const at = now.length === 0 ? 0 : where % now.length
    if (how === 'cut') now = now.slice(0, at)
    else now.splice(at, how === 'change' ? 1 : 0, byte)
  }
  return Uint8Array.from(now)
}

function fields(type: DescMessage, pool: Pool, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const entries = type.fields
    .filter((field) => depth < DEEPEST || field.fieldKind === 'scalar')
    .map((field) => fc.option(value(field, pool, depth), { nil: undefined, freq: 4 }).map((one) => [field, one] as const))
  return fc.tuple(...entries).map((all) => {
    const values: Record<string, unknown> = {}
    for (const [field, one] of all) {
      if (one === undefined) continue
      if (field.oneof === undefined) values[field.localName] = one
      else values[field.oneof.localName] = { case: field.localName, value: one }
    }
    return values
  })
}

function value(field: DescField, pool: Pool, depth: number): fc.Arbitrary<unknown> {
  switch (field.fieldKind) {
    case 'scalar':
      return scalar(field.scalar, field.name, pool)
    case 'enum':
      return fc.oneof(fc.constantFrom(...field.enum.values.map(({ number }) => number)), fc.constantFrom(-1, 99, 2 ** 31 - 1))
    case 'message':
      return message(field.message, pool, depth)
    case 'list':
      return fc.array(element(field, pool, depth), { maxLength: 4 })
    case 'map': {
      const key = fc.constantFrom(...pool.values, ...ODD)
      return fc.dictionary(key, element({ ...field, listKind: field.mapKind } as never, pool, depth), { maxKeys: 3 })
    }
  }
}

function element(field: Extract<DescField, { fieldKind: 'list' }>, pool: Pool, depth: number): fc.Arbitrary<unknown> {
  switch (field.listKind) {
    case 'scalar':
      return scalar(field.scalar, field.name, pool)
    case 'enum':
      return fc.constantFrom(...field.enum.values.map(({ number }) => number), 99)
    case 'message':
      return message(field.message, pool, depth)
  }
}

function message(type: DescMessage, pool: Pool, depth: number): fc.Arbitrary<Message | Record<string, unknown>> {
  return fields(type, pool, depth + 1).map((values) => create(type, values as never))
}

function scalar(type: ScalarType, name: string, { paths, values }: Pool): fc.Arbitrary<unknown> {
  switch (type) {
    case ScalarType.STRING: {
      const usual = name.endsWith('path') ? paths : values
      return fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...usual) }, { weight: 1, arbitrary: fc.constantFrom(...ODD) })
    }
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 20 })
    case ScalarType.BOOL:
      return fc.boolean()
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return fc.constantFrom(-(2n ** 63n), -1n, ...NUMBERS.map(BigInt), 10n * 2n ** 30n, 2n ** 63n - 1n)
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return fc.constantFrom(...NUMBERS.map(BigInt), 2n ** 64n - 1n)
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return fc.constantFrom(...NUMBERS, 2 ** 32 - 1)
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE:
      return fc.constantFrom(...NUMBERS, NaN, Infinity, -1.5)
    default:
      return fc.constantFrom(...NUMBERS, -1, -(2 ** 31))
  }
}
