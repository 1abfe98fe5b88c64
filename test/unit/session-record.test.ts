import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { newSessionId, SESSION_ID } from '../../src/fused/session-id.ts'
import { decodeRecord, encodeRecord, type SessionRecord } from '../../src/fused/session-record.ts'

const ID = '0123456789abcdef'
const RECORD: SessionRecord = {
  version: 1,
  id: ID,
  path: '/mnt',
  options: ['ro', 'fsname=a"b'],
  faults: ['read-delay=1'],
  bootId: '6b0f3f5e-0000-4000-8000-000000000000',
  connection: 57,
  negotiated: { minor: 45, flags: 0xfedc_ba98_7654_3210n, maxWrite: 4096, maxPages: 32, timeGran: 1, resend: true },
}

/** The record's text with one field another. */
function changed(field: string, value: unknown): string {
  const json = JSON.parse(encodeRecord(RECORD)) as Record<string, unknown>
  return JSON.stringify(
    field in (json.negotiated as object)
      ? { ...json, negotiated: { ...(json.negotiated as object), [field]: value } }
      : { ...json, [field]: value },
  )
}

describe('a session’s record', () => {
  it('reads what it has written', () => {
    assert.deepEqual(decodeRecord(ID, encodeRecord(RECORD)), { kind: 'record', record: RECORD })
  })

  it('reads what it has written, whatever is in it', () => {
    const count = fc.nat({ max: Number.MAX_SAFE_INTEGER })
    const negotiated = fc.record(
      {
        minor: count,
        flags: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
        maxWrite: count,
        maxPages: count,
        timeGran: count,
        resend: fc.boolean(),
      },
      { noNullPrototype: true },
    )
    const record = fc.record(
      {
        version: fc.constant(1 as const),
        id: fc.string({ unit: 'binary' }),
        path: fc.string({ unit: 'binary' }).map((text) => `/${text}`),
        options: fc.array(fc.string({ unit: 'binary' })),
        faults: fc.array(fc.string({ unit: 'binary' })),
        bootId: fc.string(),
        connection: count,
        negotiated,
      },
      { noNullPrototype: true },
    )
    fc.assert(
      fc.property(record, (one) => {
        assert.deepEqual(decodeRecord(one.id, encodeRecord(one)), { kind: 'record', record: one })
      }),
    )
  })

  it('makes something of every text, without an exception', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.json(), fc.constantFrom('', 'null', '[]', '1', '{}', '{"version":1}'))
    fc.assert(
      fc.property(text, (one) => {
        assert.ok(['damaged', 'newer', 'record'].includes(decodeRecord(ID, one).kind))
      }),
      { numRuns: 2000 },
    )
  })

  it('makes something of every record that is cut off or has a character changed', () => {
    const whole = encodeRecord(RECORD)
    const at = fc.nat(whole.length - 1)
    fc.assert(
      fc.property(at, fc.string({ maxLength: 2 }), (index, other) => {
        assert.equal(decodeRecord(ID, whole.slice(0, index)).kind === 'record', index === whole.length - 1)
        const read = decodeRecord(ID, whole.slice(0, index) + other + whole.slice(index + 1))
        if (read.kind === 'record') assert.equal(read.record.id, ID)
      }),
      { numRuns: 1000 },
    )
  })

  const DAMAGES: readonly (readonly [field: string, value: unknown, why: RegExp])[] = [
    ['version', 0, /version is not positive/],
    ['version', 1.5, /version is not a whole number/],
    ['version', '1', /version is not a number/],
    ['version', null, /version is not a number/],
    ['id', 'another', /another session/],
    ['path', 'mnt', /path is not an absolute path/],
    ['path', 7, /path is not a text/],
    ['options', 'ro', /options is not a list/],
    ['options', [1], /options.0 is not a text/],
    ['faults', {}, /faults is not a list/],
    ['bootId', 1, /bootId is not a text/],
    ['connection', -1, /connection is negative/],
    ['connection', 1.5, /connection/],
    ['connection', '57', /connection/],
    ['negotiated', null, /negotiated/],
    ['negotiated', [], /negotiated/],
    ['minor', '45', /negotiated/],
    ['minor', -1, /negotiated/],
    ['flags', 5, /negotiated.flags is not a text/],
    ['flags', '0xg', /negotiated/],
    ['flags', '0x11111111111111111', /negotiated/],
    ['maxWrite', null, /negotiated/],
    ['maxPages', undefined, /negotiated.maxPages is missing/],
    ['timeGran', 0.5, /negotiated/],
    ['resend', 1, /negotiated.resend is neither true nor false/],
  ]
  for (const [field, value, why] of DAMAGES) {
    it(`is damaged with ${field} ${JSON.stringify(value)}`, () => {
      const read = decodeRecord(ID, changed(field, value))
      assert.ok(read.kind === 'damaged')
      assert.match(read.why, why)
    })
  }

  it('is left to a newer program when it is of its format, whatever else it holds', () => {
    for (const version of [2, 3, 1_000_000]) {
      assert.deepEqual(decodeRecord(ID, changed('version', version)), { kind: 'newer', id: ID, version })
      assert.deepEqual(decodeRecord(ID, JSON.stringify({ version })), { kind: 'newer', id: ID, version })
    }
  })

  it('has an id of its own kind, each time another', () => {
    const ids = Array.from({ length: 100 }, () => newSessionId())
    assert.equal(new Set(ids).size, 100)
    for (const id of ids) assert.match(id, SESSION_ID)
  })
})
