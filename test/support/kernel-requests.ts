import fc from 'fast-check'
import { OPCODE } from '../../src/fuse/protocol/constants.ts'
import { annotated } from './fuse-traffic-bytes.ts'
import type { RequestCase } from './fuse-traffic-request-case.ts'
import { REQUESTS } from './fuse-traffic-requests.ts'

const HEADER_SIZE = 40
const IN_RANGE = 2 ** 32

/** Nodes: none, those that there are, one that never was, and the ends of the range. */
const NODES = [0n, 1n, 2n, 3n, 77n, 2n ** 31n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]

const WORDS = [0, 1, 2, 3, 7, 255, 256, 4096, 2 ** 31 - 1, 2 ** 31, IN_RANGE - 1]
const LONG_WORDS = [...NODES, 12n, 13n, 14n, 4096n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n - 2n]

/** Names: empty, there, absent, of the longest length and beyond, of a path, of no UTF-8. */
const NAMES = [
  Buffer.alloc(0),
  Buffer.from('dummy-file.txt'),
  Buffer.from('absent'),
  Buffer.alloc(255, 'n'),
  Buffer.alloc(256, 'n'),
  Buffer.alloc(5000, 'n'),
  Buffer.from('..'),
  Buffer.from('a/b'),
  Buffer.from([0x61, 0xff, 0xc3]),
  Buffer.from('a\nb\u001b[2J'),
]

/** Opcodes that there are not, that are not a file system's, and those of byte-swapped kernels. */
const UNKNOWN = [
  0,
  7,
  19,
  54,
  255,
  OPCODE.CUSE_INIT,
  OPCODE.CUSE_INIT_BSWAP_RESERVED,
  OPCODE.FUSE_INIT_BSWAP_RESERVED,
  IN_RANGE - 1,
]

/** How the bytes around the body are damaged. Most are not. */
type Damage =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly by: number }
  | { readonly kind: 'opcode'; readonly opcode: number }
  | { readonly kind: 'extensions'; readonly count: number }
  | { readonly kind: 'cut' | 'cut alone'; readonly at: number }
  | { readonly kind: 'more'; readonly bytes: Uint8Array }
  | { readonly kind: 'changed'; readonly at: number; readonly byte: number }

const damage: fc.Arbitrary<Damage> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Damage>({ kind: 'none' }) },
  fc.constantFrom(-40, -1, 1, 8, IN_RANGE - 100).map((by): Damage => ({ kind: 'length', by })),
  fc.constantFrom(...UNKNOWN).map((opcode): Damage => ({ kind: 'opcode', opcode })),
  fc.constantFrom(1, 2, 0x7fff, 0xffff).map((count): Damage => ({ kind: 'extensions', count })),
  fc.nat(400).map((at): Damage => ({ kind: 'cut', at })),
  fc.nat(400).map((at): Damage => ({ kind: 'cut alone', at })),
  fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes): Damage => ({ kind: 'more', bytes })),
  fc.tuple(fc.nat(400), fc.nat(255)).map(([at, byte]): Damage => ({ kind: 'changed', at, byte })),
)

/** A nodeid: mostly one that there is. */
const node = fc.oneof({ weight: 2, arbitrary: fc.constantFrom(1n, 2n) }, { weight: 1, arbitrary: fc.constantFrom(...NODES) })

/**
 * Requests of these kinds, with the unique 0: each field of the struct is what a kernel sends, or a value at an end of its range; then the whole may
 * be damaged. The opcode in the header is the one that the server is to go by.
 */
export function fuzzedRequest(cases: readonly RequestCase[] = REQUESTS): fc.Arbitrary<Buffer> {
  return fc
    .tuple(fc.constantFrom(...cases), node)
    .chain(([one, nodeid]) =>
      fc.tuple(fc.constant(one), fc.constant(nodeid), bodyOf(one, nodeid), fc.constantFrom(0, 1000), damage),
    )
    .map(([{ op }, nodeid, body, uid, how]) => {
      const header = Buffer.alloc(HEADER_SIZE)
      header.writeUInt32LE(HEADER_SIZE + body.length, 0)
      header.writeUInt32LE(OPCODE[op], 4)
      header.writeBigUInt64LE(nodeid, 16)
      header.writeUInt32LE(uid, 24)
      return damaged(Buffer.concat([header, body]), how)
    })
}

/** Each field, name and NUL is as it should be three times in four. */
function bodyOf({ body }: RequestCase, nodeid: bigint): fc.Arbitrary<Buffer> {
  const fields = body.split('\n').map((line) => {
    const [, comment = ''] = line.split('#')
    const usual = comment.trim() === 'fh' ? longWord(nodeid) : annotated(line)
    const odd = line.includes('"') && comment === '' ? fc.constantFrom(...NAMES) : oddField(usual.length)
    if (odd === undefined) return fc.constant(usual)
    return fc.oneof({ weight: 3, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: odd })
  })
  return fc.tuple(...fields).map((parts) => Buffer.concat(parts))
}

function oddField(size: number): fc.Arbitrary<Buffer> | undefined {
  switch (size) {
    // The NUL after a name.
    case 1:
      return fc.constantFrom(Buffer.alloc(0), Buffer.from('x'))
    case 4:
      return fc.constantFrom(...WORDS).map((value) => {
        const bytes = Buffer.alloc(4)
        bytes.writeUInt32LE(value)
        return bytes
      })
    case 8:
      return fc.constantFrom(...LONG_WORDS).map(longWord)
    default:
      return undefined
  }
}

function longWord(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return bytes
}

function damaged(bytes: Buffer, how: Damage): Buffer {
  switch (how.kind) {
    case 'none':
      return bytes
    case 'length':
      bytes.writeUInt32LE((bytes.length + how.by + IN_RANGE) % IN_RANGE, 0)
      return bytes
    case 'opcode':
      bytes.writeUInt32LE(how.opcode, 4)
      return bytes
    case 'extensions':
      bytes.writeUInt16LE(how.count, 36)
      return bytes
    case 'cut':
      return withLength(bytes.subarray(0, how.at % bytes.length))
    case 'cut alone':
      return bytes.subarray(0, how.at % bytes.length)
    case 'more':
      return withLength(Buffer.concat([bytes, how.bytes]))
    case 'changed':
      // The opcode and the unique are the sender's to know.
      if (how.at % bytes.length >= 16) bytes[how.at % bytes.length] = how.byte
      return bytes
  }
}

function withLength(bytes: Buffer): Buffer {
  if (bytes.length >= 4) bytes.writeUInt32LE(bytes.length, 0)
  return bytes
}
