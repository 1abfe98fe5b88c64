import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OPCODE } from '../../src/fuse/protocol/constants.ts'
import { ProtocolError } from '../../src/fuse/protocol/errors.ts'
import { decodeRequest, isResent } from '../../src/fuse/protocol/requests.ts'
import { annotated, HEADER, request } from '../support/fuse-traffic-bytes.ts'
import { REQUESTS } from '../support/fuse-traffic-requests.ts'

const LOOKUP = request(OPCODE.LOOKUP, annotated('"dummy-file.txt"\n00'))

function refused(bytes: Buffer): ProtocolError {
  try {
    decodeRequest(bytes)
  } catch (error) {
    assert.ok(error instanceof ProtocolError)
    return error
  }
  throw new Error('it was decoded')
}

/** The bytes, changed by `change`. */
function changed(bytes: Buffer, change: (bytes: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes)
  change(copy)
  return copy
}

describe('decodeRequest', () => {
  it('reads the header field by field', () => {
    const bytes = annotated(`
      2a 00 00 00              # len: 42
      01 00 00 00              # opcode: FUSE_LOOKUP
      02 00 00 00 00 00 00 80  # unique, with FUSE_UNIQUE_RESEND
      01 00 00 00 00 00 00 00  # nodeid: FUSE_ROOT_ID
      ff ff ff ff              # uid: FUSE_INVALID_UIDGID
      e8 03 00 00              # gid
      39 30 00 00              # pid
      00 00                    # total_extlen
      00 00                    # padding
      61 00                    # "a"`)
    assert.deepEqual(decodeRequest(bytes), {
      op: 'LOOKUP',
      header: {
        length: 42,
        opcode: 1,
        unique: 0x8000000000000002n,
        nodeid: 1n,
        uid: 0xffffffff,
        gid: 1000,
        pid: 12345,
        totalExtlen: 0,
      },
      name: 'a',
    })
  })

  for (const { op, title, body, fields } of REQUESTS) {
    it(`decodes ${op}${title === undefined ? '' : ` ${title}`}`, () => {
      const bytes = request(OPCODE[op], annotated(body))
      const header = { ...HEADER, length: bytes.length, opcode: OPCODE[op] }
      assert.deepEqual(decodeRequest(bytes), { op, header, ...fields })
    })
  }

  it('has a case above for every opcode of a file system', () => {
    const ofFileSystems = Object.entries(OPCODE).filter(([, opcode]) => opcode < OPCODE.CUSE_INIT)
    const cases = new Set<string>(REQUESTS.map(({ op }) => op))
    assert.deepEqual(
      ofFileSystems.map(([op]) => op).filter((op) => !cases.has(op)),
      [],
    )
  })

  it('decodes the same from the middle of a larger buffer', () => {
    const large = Buffer.alloc(8192, 0xee)
    LOOKUP.copy(large, 1001)
    assert.deepEqual(decodeRequest(large.subarray(1001, 1001 + LOOKUP.length)), decodeRequest(LOOKUP))
  })

  it('leaves extensions out of the body', () => {
    const extensions = annotated(`
      18 00 00 00              # size, fuse_ext_header
      20 00 00 00              # type: FUSE_EXT_GROUPS
      01 00 00 00              # nr_groups, fuse_supp_groups
      e8 03 00 00              # groups
      00 00 00 00 00 00 00 00`)
    const mkdir = annotated(`
      ff 01 00 00              # mode
      12 00 00 00              # umask
      "new"
      00`)
    const decoded = decodeRequest(request(OPCODE.MKDIR, mkdir, extensions))
    assert.equal(decoded.op, 'MKDIR')
    assert.equal(decoded.name, 'new')
    assert.equal(decoded.header.totalExtlen, 3)
  })

  const refusals: readonly { title: string; bytes: Buffer; kind: ProtocolError['kind']; unique: boolean; says: RegExp }[] = [
    { title: 'no bytes', bytes: Buffer.alloc(0), kind: 'truncated', unique: false, says: /0 bytes, less than its header's 40/ },
    { title: 'part of a header', bytes: LOOKUP.subarray(0, 39), kind: 'truncated', unique: false, says: /39 bytes/ },
    { title: 'fewer bytes than it says', bytes: LOOKUP.subarray(0, -1), kind: 'truncated', unique: true, says: /55 bytes has 54/ },
    {
      title: 'more bytes than it says',
      bytes: Buffer.concat([LOOKUP, Buffer.alloc(1)]),
      kind: 'malformed',
      unique: true,
      says: /55 bytes has 56/,
    },
    { title: 'an opcode there is not', bytes: request(7, Buffer.alloc(0)), kind: 'unknown-opcode', unique: true, says: /opcode 7/ },
    { title: 'an opcode to come', bytes: request(54, Buffer.alloc(8)), kind: 'unknown-opcode', unique: true, says: /opcode 54/ },
    {
      title: 'a CUSE device',
      bytes: request(OPCODE.CUSE_INIT, Buffer.alloc(16)),
      kind: 'unknown-opcode',
      unique: true,
      says: /4096/,
    },
    {
      title: 'INIT in the other byte order',
      bytes: changed(request(OPCODE.INIT, Buffer.alloc(16)), (bytes) => bytes.swap32()),
      kind: 'truncated',
      unique: true,
      says: /bytes has 56/,
    },
    {
      title: 'a short body',
      bytes: request(OPCODE.READ, Buffer.alloc(39)),
      kind: 'truncated',
      unique: true,
      says: /4 bytes are wanted where 3/,
    },
    {
      title: 'no body',
      bytes: request(OPCODE.GETATTR, Buffer.alloc(0)),
      kind: 'truncated',
      unique: true,
      says: /4 bytes are wanted where 0/,
    },
    {
      title: 'junk after the body',
      bytes: request(OPCODE.STATFS, Buffer.alloc(1)),
      kind: 'malformed',
      unique: true,
      says: /STATFS has 1 bytes more/,
    },
    {
      title: 'a second name',
      bytes: request(OPCODE.LOOKUP, Buffer.from('a\0b\0')),
      kind: 'malformed',
      unique: true,
      says: /LOOKUP has 2 bytes more/,
    },
    {
      title: 'a name without a NUL',
      bytes: request(OPCODE.LOOKUP, Buffer.from('dummy')),
      kind: 'malformed',
      unique: true,
      says: /no NUL/,
    },
    { title: 'no name', bytes: request(OPCODE.LOOKUP, Buffer.alloc(0)), kind: 'malformed', unique: true, says: /no NUL/ },
    {
      title: 'a NUL in the extensions alone',
      bytes: request(OPCODE.LOOKUP, Buffer.from('dummy'), Buffer.alloc(8)),
      kind: 'malformed',
      unique: true,
      says: /no NUL/,
    },
    {
      title: 'more extensions than bytes',
      bytes: changed(LOOKUP, (bytes) => bytes.writeUInt16LE(2, 36)),
      kind: 'truncated',
      unique: true,
      says: /16 bytes are wanted where 15/,
    },
    {
      title: 'more data than bytes',
      bytes: request(OPCODE.WRITE, Buffer.from('00'.repeat(16) + '05000000' + '00'.repeat(20) + '61626364', 'hex')),
      kind: 'truncated',
      unique: true,
      says: /5 bytes are wanted where 4/,
    },
    {
      title: 'four thousand million nodes to forget in 24 bytes',
      bytes: request(OPCODE.BATCH_FORGET, Buffer.from('ffffffff00000000' + '00'.repeat(16), 'hex')),
      kind: 'truncated',
      unique: true,
      says: /4294967295 items of 16 bytes, where 16/,
    },
    {
      title: 'as many mappings to remove',
      bytes: request(OPCODE.REMOVEMAPPING, Buffer.from('ffffffff', 'hex')),
      kind: 'truncated',
      unique: true,
      says: /4294967295 items of 16 bytes, where 0/,
    },
    {
      title: 'an extended attribute whose value is cut off',
      bytes: request(OPCODE.SETXATTR, Buffer.from('\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0user.x\0red')),
      kind: 'truncated',
      unique: true,
      says: /4 bytes are wanted where 3/,
    },
    {
      title: 'INIT of 7.45 that is longer than 7.45 has it',
      bytes: request(OPCODE.INIT, Buffer.from('070000002d0000000000020000000040' + '00'.repeat(49), 'hex')),
      kind: 'malformed',
      unique: true,
      says: /INIT has 1 bytes more/,
    },
    {
      title: 'FUSE_INIT_EXT without the rest of it',
      bytes: request(OPCODE.INIT, Buffer.from('070000002d0000000000020000000040', 'hex')),
      kind: 'truncated',
      unique: true,
      says: /4 bytes are wanted where 0/,
    },
  ]
  for (const { title, bytes, kind, unique, says } of refusals) {
    it(`refuses ${title}`, () => {
      const error = refused(bytes)
      assert.equal(error.kind, kind)
      assert.match(error.message, says)
      if (unique) assert.equal(error.unique, bytes.readBigUInt64LE(8))
      else assert.equal(error.unique, undefined)
    })
  }
})

describe('isResent', () => {
  it('goes by the highest bit of unique, which the header keeps', () => {
    const again = changed(LOOKUP, (bytes) => bytes.writeUInt8(0x80, 15))
    const { unique } = decodeRequest(again).header
    assert.equal(unique, 0x8002030405060708n)
    assert.equal(isResent(unique), true)
    assert.equal(isResent(unique & 0x7fffffffffffffffn), false)
  })
})
