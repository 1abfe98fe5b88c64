import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { rewriteAuthority } from '../../src/grpc/authority.ts'
import { AuthorityRewriter } from '../../src/grpc/rewriting-connection.ts'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** A frame (RFC 9113, 4.1) on stream 1. */
function frame(type: number, flags: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(1, 5)
  return Buffer.concat([header, payload])
}

/** A literal :authority that is added to the table (RFC 7541, 6.2.1), not Huffman-coded. */
function literal(value: string): Buffer {
  return Buffer.concat([Buffer.from([0x41, value.length]), Buffer.from(value)])
}

const GET = Buffer.from([0x82, 0x86, 0x84])

describe('rewriteAuthority', () => {
  it('changes bytes that are not valid, in all three kinds of literals', () => {
    for (const kind of [0x41, 0x01, 0x11]) {
      const block = Buffer.concat([GET, Buffer.from([kind, 6]), Buffer.from('/a b/c'), Buffer.from([0x84])])
      assert.equal(rewriteAuthority(block), 1)
      assert.deepEqual(block, Buffer.concat([GET, Buffer.from([kind, 6]), Buffer.from('-a-b-c'), Buffer.from([0x84])]))
    }
  })

  it('changes a Huffman-coded one to another with as many characters, in as many bytes', () => {
    // "/run/csi.sock" and "localhost" (RFC 7541, appendix B).
    const path = Buffer.from('62cb6a608832e8393aff', 'hex')
    const block = Buffer.concat([Buffer.from([0x41, 0x8a]), path])
    assert.equal(rewriteAuthority(block), 1)
    // "$'-0000000000": characters of 13, 11 and 6 bits and ten of 5 are 80 bits, without padding.
    assert.equal(block.toString('hex'), '418affcffa58000000000000')
    assert.equal(rewriteAuthority(block), 0, 'it is valid now')
    const host = Buffer.concat([Buffer.from([0x41, 0x86]), Buffer.from('a0e41d139d09', 'hex')])
    assert.equal(rewriteAuthority(host), 0)
  })

  it('leaves every other header alone, and a valid :authority', () => {
    const path = Buffer.concat([Buffer.from([0x44, 4]), Buffer.from('/a b')])
    const named = Buffer.concat([Buffer.from([0x40, 1]), Buffer.from('x'), Buffer.from([3]), Buffer.from('/ /')])
    const block = Buffer.concat([Buffer.from([0x3f, 0xe1, 0x1f]), GET, path, named, literal('localhost'), Buffer.from([0xbe])])
    const before = Buffer.from(block)
    assert.equal(rewriteAuthority(block), 0)
    assert.deepEqual(block, before)
  })

  it('ends on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const block = Buffer.from(bytes)
        rewriteAuthority(block)
        return block.length === bytes.length
      }),
      { numRuns: 5000 },
    )
  })
})

describe('AuthorityRewriter', () => {
  const settings = frame(4, 0, Buffer.alloc(6))
  const data = frame(0, 1, Buffer.from('a /run/b: no header'))
  const padded = frame(1, 0x8 | 0x4, Buffer.concat([Buffer.from([3]), GET, literal('/run'), Buffer.from('///')]))
  const priority = frame(1, 0x20 | 0x4, Buffer.concat([Buffer.from('/////'), literal('/run')]))
  const sent = Buffer.concat([PREFACE, settings, frame(1, 4, literal('/run')), data, padded, priority])
  const got = Buffer.from(sent)
  for (let at = got.indexOf('A\x04/run'); at >= 0; at = got.indexOf('A\x04/run', at)) got[at + 2] = 0x2d

  it('mends frames, however the bytes are cut, and passes everything on', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: sent.length }), { maxLength: 12 }), (cuts) => {
        const mender = new AuthorityRewriter()
        const ends = [...cuts.toSorted((one, other) => one - other), sent.length]
        const passed = ends.map((end, index) => mender.push(Buffer.from(sent.subarray(ends[index - 1] ?? 0, end))))
        assert.deepEqual(Buffer.concat(passed), got)
        assert.equal(mender.rest().length, 0)
      }),
    )
  })

  it('passes a frame on that is longer than allowed, and holds none of it', () => {
    const mender = new AuthorityRewriter()
    const long = Buffer.concat([PREFACE, frame(1, 4, Buffer.alloc(20_000, 0x2f))])
    assert.deepEqual(mender.push(Buffer.from(long)), long)
    assert.equal(mender.rest().length, 0)
  })

  it('passes on any bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 20 }), (chunks) => {
        const mender = new AuthorityRewriter()
        const passed = chunks.reduce((sum, chunk) => sum + mender.push(Buffer.from(chunk)).length, 0)
        return passed + mender.rest().length === chunks.reduce((sum, chunk) => sum + chunk.length, 0)
      }),
    )
  })
})
