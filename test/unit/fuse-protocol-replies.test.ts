import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { OUT_HEADER_SIZE } from '../../src/fuse/protocol/constants.ts'
import { addEntry, addEntryPlus, beginDirectory, endDirectory } from '../../src/fuse/protocol/directory.ts'
import { ProtocolError } from '../../src/fuse/protocol/errors.ts'
import { Reader } from '../../src/fuse/protocol/reader.ts'
import { type Attributes, encodeAttr, encodeBytes, encodeEntry } from '../../src/fuse/protocol/replies.ts'
import { Writer } from '../../src/fuse/protocol/writer.ts'
import { annotated } from '../support/fuse-traffic-bytes.ts'
import { REPLIES } from '../support/fuse-traffic-replies.ts'
import { UNIQUE } from '../support/fuse-traffic-reply-case.ts'

const ATTRIBUTES: Attributes = {
  nodeid: 2n,
  size: 13,
  blocks: 1,
  atime: 0,
  mtime: 0,
  ctime: 0,
  mode: 0o100444,
  nlink: 1,
  uid: 0,
  gid: 0,
  rdev: 0,
  blksize: 4096,
  flags: 0,
}

function written(writer: Writer): Buffer {
  return writer.buffer.subarray(0, writer.length)
}

describe('the encoders of replies', () => {
  for (const { title, encode, header, structs = [], rest = '' } of REPLIES) {
    it(`write the bytes of ${title}, whatever the buffer held before`, () => {
      const writer = new Writer(512)
      writer.buffer.fill(0xee)
      encode(writer)
      const expected = [header, ...structs.map(([, bytes]) => bytes), rest].map(annotated)
      assert.equal(written(writer).toString('hex'), Buffer.concat(expected).toString('hex'))
      assert.equal(writer.buffer.readUInt32LE(0), writer.length)
    })
  }

  it('throw a ProtocolError where the buffer is too small', () => {
    assert.throws(
      () =>
        encodeEntry(new Writer(100), UNIQUE, { nodeid: 2n, generation: 0n, entryValid: 1, attrValid: 1, attributes: ATTRIBUTES }),
      {
        name: 'ProtocolError',
        kind: 'truncated',
        message: /do not fit: \d+ of 100 are written/,
      },
    )
    assert.throws(() => encodeBytes(new Writer(20), UNIQUE, Buffer.alloc(5)), ProtocolError)
  })

  const validities: readonly { seconds: number; gives: [bigint, number] }[] = [
    { seconds: 0, gives: [0n, 0] },
    { seconds: -1, gives: [0n, 0] },
    { seconds: 1e-9, gives: [0n, 1] },
    { seconds: 0.9999999999, gives: [0n, 999_999_999] },
    { seconds: 86400, gives: [86400n, 0] },
    { seconds: Infinity, gives: [BigInt(Number.MAX_SAFE_INTEGER), 0] },
  ]
  for (const { seconds, gives } of validities) {
    it(`write a validity of ${seconds} seconds as ${gives.join(' s and ')} ns`, () => {
      const writer = new Writer(512)
      encodeAttr(writer, UNIQUE, seconds, ATTRIBUTES)
      assert.deepEqual([writer.buffer.readBigUInt64LE(16), writer.buffer.readUInt32LE(24)], gives)
    })
  }

  it('write every time so that its nanoseconds are fewer than a second', () => {
    const writer = new Writer(512)
    fc.assert(
      fc.property(fc.double({ min: -1e10, max: 1e10, noNaN: true }), (mtime) => {
        encodeAttr(writer, UNIQUE, 1, { ...ATTRIBUTES, mtime })
        const seconds = writer.buffer.readBigInt64LE(16 + 16 + 32)
        const nanoseconds = writer.buffer.readUInt32LE(16 + 16 + 52)
        assert.ok(nanoseconds < 1e9)
        assert.ok(Math.abs(Number(seconds) + nanoseconds / 1e9 - mtime) < 1e-5)
      }),
    )
  })
})

describe('a directory', () => {
  const dirent = { nodeid: 2n, offset: 1n, type: 8, name: '12345678' }

  it('takes entries up to the limit, and says no with nothing written to the next', () => {
    const writer = new Writer(4096)
    beginDirectory(writer, UNIQUE)
    assert.equal(addEntry(writer, dirent, 64), true)
    assert.equal(addEntry(writer, dirent, 64), true)
    assert.equal(addEntry(writer, dirent, 64), false)
    endDirectory(writer)
    assert.equal(writer.length, OUT_HEADER_SIZE + 64)
  })

  it('counts the padding, of which the kernel wants all', () => {
    const writer = new Writer(4096)
    beginDirectory(writer, UNIQUE)
    assert.equal(addEntry(writer, { ...dirent, name: '123456789' }, 39), false)
    assert.equal(addEntry(writer, { ...dirent, name: '123456789' }, 40), true)
  })

  it('says no where the buffer ends before the limit', () => {
    const writer = new Writer(OUT_HEADER_SIZE + 40)
    beginDirectory(writer, UNIQUE)
    assert.equal(addEntry(writer, dirent, 4096), true)
    assert.equal(addEntry(writer, dirent, 4096), false)
    assert.equal(writer.length, OUT_HEADER_SIZE + 32)
  })

  it('takes entries with attributes by the same rules', () => {
    const writer = new Writer(4096)
    const entry = {
      nodeid: 2n,
      generation: 0n,
      entryValid: 1,
      attrValid: 1,
      attributes: ATTRIBUTES,
      offset: 1n,
      type: 8,
      name: 'a',
    }
    beginDirectory(writer, UNIQUE)
    assert.equal(addEntryPlus(writer, entry, 159), false)
    assert.equal(addEntryPlus(writer, entry, 319), true)
    assert.equal(addEntryPlus(writer, entry, 319), false)
    endDirectory(writer)
    assert.equal(writer.length, OUT_HEADER_SIZE + 160)
  })

  it('reads back, whatever the names and the limit', () => {
    const name = fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' })
    fc.assert(
      fc.property(fc.array(name, { maxLength: 20 }), fc.integer({ min: 0, max: 1024 }), (names, limit) => {
        const writer = new Writer(4096)
        beginDirectory(writer, UNIQUE)
        const taken = names.filter((one, index) =>
          addEntry(writer, { nodeid: BigInt(index + 1), offset: BigInt(index + 1), type: 8, name: one }, limit),
        )
        endDirectory(writer)
        assert.ok(writer.length <= OUT_HEADER_SIZE + limit)
        const reader = new Reader(written(writer), OUT_HEADER_SIZE)
        const found: string[] = []
        while (reader.remaining > 0) {
          reader.skip(16)
          const size = reader.u32()
          reader.skip(4)
          found.push(reader.bytes(size).toString())
          reader.skip(-size & 7)
        }
        assert.deepEqual(
          found,
          taken.map((one) => Buffer.from(one).toString()),
        )
      }),
    )
  })
})

describe('Writer and Reader', () => {
  it('give back what was written', () => {
    const fields = fc.record({
      u16: fc.nat(0xffff),
      u32: fc.nat(0xffffffff),
      i32: fc.integer(),
      u64: fc.bigInt({ min: 0n, max: 0xffffffffffffffffn }),
      number: fc.maxSafeInteger(),
      text: fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
      bytes: fc.uint8Array({ maxLength: 100 }),
    })
    fc.assert(
      fc.property(fields, ({ u16, u32, i32, u64, number, text, bytes }) => {
        const writer = new Writer(1024)
        writer.u16(u16)
        writer.u32(u32)
        writer.i32(i32)
        writer.u64(u64)
        writer.u64(number)
        writer.cstring(text)
        writer.bytes(bytes)
        const { length } = writer
        writer.align8()
        assert.equal(writer.length, Math.ceil(length / 8) * 8)
        const reader = new Reader(writer.buffer, 0, length)
        assert.equal(reader.u16(), u16)
        assert.equal(reader.u32(), u32)
        assert.equal(reader.i32(), i32)
        assert.equal(reader.u64(), u64)
        assert.equal(reader.i64(), BigInt(number))
        assert.equal(reader.cstring(), text.toWellFormed())
        assert.deepEqual(new Uint8Array(reader.bytes(bytes.length)), bytes)
        assert.equal(reader.remaining, 0)
        assert.throws(() => reader.skip(1), { name: 'ProtocolError', kind: 'truncated', unique: undefined })
      }),
    )
  })

  it('reset and patch', () => {
    const writer = new Writer(8)
    writer.u64(0n)
    assert.throws(() => writer.u16(1), { name: 'ProtocolError', message: '2 bytes more do not fit: 8 of 8 are written' })
    assert.equal(writer.length, 8)
    writer.patchU32(4, 0xfffffffe)
    assert.equal(writer.buffer.toString('hex'), '00000000feffffff')
    writer.reset()
    assert.equal(writer.length, 0)
    writer.u32(1)
    assert.throws(() => writer.patchU32(2, 1), { name: 'ProtocolError', kind: 'malformed' })
  })
})
