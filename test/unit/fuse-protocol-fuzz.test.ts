import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { IN_HEADER_SIZE, OPCODE } from '../../src/fuse/protocol/constants.ts'
import { ProtocolError } from '../../src/fuse/protocol/errors.ts'
import { decodeRequest } from '../../src/fuse/protocol/requests.ts'
import { annotated, request } from '../support/fuse-traffic-bytes.ts'
import { REQUESTS } from '../support/fuse-traffic-requests.ts'

const VALID = REQUESTS.map(({ op, body }) => request(OPCODE[op], annotated(body)))
const KINDS = ['truncated', 'malformed', 'unknown-opcode']
const valid = fc.constantFrom(...VALID)
const body = fc.uint8Array({ maxLength: 300, size: 'max' })
const opcode = fc.oneof(fc.constantFrom(...Object.values(OPCODE)), fc.nat(0xffffffff))

/** Decodes and returns how that came out. Throws what is neither a request nor a ProtocolError with the request's unique. */
function outcome(bytes: Buffer): 'request' | ProtocolError['kind'] {
  try {
    const { op, header } = decodeRequest(bytes)
    assert.equal(header.length, bytes.length)
    assert.equal(OPCODE[op], header.opcode)
    return 'request'
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    assert.ok(KINDS.includes(error.kind))
    assert.equal(error.unique, bytes.length < IN_HEADER_SIZE ? undefined : bytes.readBigUInt64LE(8))
    assert.ok(error.message.length < 200, error.message)
    return error.kind
  }
}

/** Makes the header's length that of the bytes, so that what follows is looked at. */
function withLength(bytes: Buffer): Buffer {
  if (bytes.length >= 4) bytes.writeUInt32LE(bytes.length, 0)
  return bytes
}

describe('decodeRequest, fed with bytes that no kernel sends', () => {
  it('takes random bytes apart or refuses them with a ProtocolError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400, size: 'max' }), fc.boolean(), (bytes, rightLength) => {
        const copy = Buffer.from(bytes)
        outcome(rightLength ? withLength(copy) : copy)
      }),
      { numRuns: 2000 },
    )
  })

  it('does the same with random bodies, extensions and opcodes under a right header', () => {
    const seen = new Set<string>()
    fc.assert(
      fc.property(opcode, body, fc.nat(3), (number, bytes, extensions) => {
        seen.add(outcome(request(number, bytes, Buffer.alloc(8 * extensions))))
      }),
      { numRuns: 5000 },
    )
    assert.deepEqual([...seen].sort(), ['malformed', 'request', 'truncated', 'unknown-opcode'])
  })

  it('refuses every valid request that ends early, with its own length or the one it had', () => {
    for (const bytes of VALID) {
      for (let length = 0; length < bytes.length; length++) {
        const cut = Buffer.from(bytes.subarray(0, length))
        assert.equal(outcome(cut), 'truncated')
        outcome(withLength(cut))
      }
    }
  })

  it('takes or refuses valid requests with bytes changed, put in or left out', () => {
    const changes = fc.array(fc.tuple(fc.constantFrom('change', 'insert', 'remove'), fc.nat(500), fc.nat(255)), {
      minLength: 1,
      maxLength: 8,
    })
    fc.assert(
      fc.property(valid, changes, fc.boolean(), (bytes, list, rightLength) => {
        const values = [...bytes]
        for (const [kind, where, value] of list) {
          const at = where % Math.max(values.length, 1)
          if (kind === 'change') values[at] = value
          else if (kind === 'insert') values.splice(at, 0, value)
          else values.splice(at, 1)
        }
        const changed = Buffer.from(values)
        outcome(rightLength ? withLength(changed) : changed)
      }),
      { numRuns: 10_000 },
    )
  })

  it('takes or refuses valid requests of which any 32 bits are all ones', () => {
    for (const bytes of VALID) {
      for (let at = 0; at + 4 <= bytes.length; at += 4) {
        const changed = Buffer.from(bytes)
        changed.writeUInt32LE(0xffffffff, at)
        outcome(changed)
      }
    }
  })

  it('reads nothing outside of the bytes it was given', () => {
    fc.assert(
      fc.property(opcode, body, fc.nat(255), (number, bytes, around) => {
        const alone = request(number, bytes)
        const large = Buffer.alloc(alone.length + 200, around)
        alone.copy(large, 100)
        const inside = large.subarray(100, 100 + alone.length)
        const decode = (one: Buffer): unknown => {
          try {
            return decodeRequest(one)
          } catch (error) {
            return String(error)
          }
        }
        assert.deepEqual(decode(inside), decode(alone))
      }),
      { numRuns: 2000 },
    )
  })

  it('takes no longer for a count than for the bytes behind it', () => {
    // Made by the count, the array alone would be of four thousand million items.
    for (const number of [OPCODE.BATCH_FORGET, OPCODE.REMOVEMAPPING]) {
      assert.equal(outcome(request(number, Buffer.alloc(64, 0xff))), 'truncated')
    }
    const many = Buffer.alloc(8 + 16 * 65_536)
    many.writeUInt32LE(65_536, 0)
    assert.equal(outcome(request(OPCODE.BATCH_FORGET, many)), 'request')
    assert.equal(outcome(request(OPCODE.LOOKUP, Buffer.alloc(1 << 20, 'a'))), 'malformed')
  })
})
