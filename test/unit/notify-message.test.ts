import fc from 'fast-check'
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Notice, parseNotice } from '../../src/sd/notify-message.ts'

const NOTHING: Notice = { ready: false, reloading: false, stopping: false, barrier: false, fetch: false, promise: false, flaws: [] }

const GOOD: readonly [string, Partial<Notice>][] = [
  ['READY=1', { ready: true }],
  ['READY=1\0', { ready: true }],
  ['X_FETCH=1', { fetch: true }],
  ['READY=0', {}],
  ['READY=1\nREADY=0', { ready: true }],
  ['READY=0\nREADY=1', {}],
  ['RELOADING=1\nMONOTONIC_USEC=1', { reloading: true }],
  ['STOPPING=1', { stopping: true }],
  ['BARRIER=1', { barrier: true }],
  ['STATUS=a=b', { status: 'a=b' }],
  ['STATUS=', { status: '' }],
  ['STATUS=über', { status: 'über' }],
  ['MAINPID=42', { mainPid: 42 }],
  ['WATCHDOG=1', { watchdog: 'alive' }],
  ['WATCHDOG=trigger', { watchdog: 'trigger' }],
  ['WATCHDOG_USEC=1500', { watchdogInterval: 2 }],
  ['WATCHDOG_USEC=0', { watchdogInterval: 0 }],
  ['WATCHDOG_USEC=18446744073709551615', { watchdogInterval: 0 }],
  ['EXTEND_TIMEOUT_USEC=5000000', { extendTimeout: 5000 }],
  ['FDSTORE=1', { store: { name: 'stored', poll: true } }],
  ['FDSTORE=1\nFDNAME=vol 1\nFDPOLL=0\n', { name: 'vol 1', store: { name: 'vol 1', poll: false } }],
  ['FDSTOREREMOVE=1\nFDNAME=vol', { remove: 'vol', name: 'vol' }],
  ['FDSTOREREMOVE=1\nFDSTORE=1\nFDNAME=vol', { remove: 'vol', name: 'vol' }],
  ['FDNAME=vol', { name: 'vol' }],
  ['X_FETCH=1\nFDNAME=vol', { fetch: true, name: 'vol' }],
  ['X_PROMISE=1\nFDNAME=vol', { promise: true, name: 'vol' }],
  ['ERRNO=2\nX_OURS=anything\nno assignment\n=empty', {}],
]

const FLAWED: readonly [string, Partial<Notice>, readonly string[]][] = [
  ['FDSTORE=1\nFDNAME=a:b', { store: { name: 'stored', poll: true } }, ['FDNAME is no name of a descriptor']],
  ['FDSTORE=1\nFDNAME=', { store: { name: 'stored', poll: true } }, ['FDNAME is no name of a descriptor']],
  ['FDSTOREREMOVE=1', {}, ['FDSTOREREMOVE without a FDNAME']],
  ['FDSTOREREMOVE=1\nFDNAME=\x7f', {}, ['FDNAME is no name of a descriptor', 'FDSTOREREMOVE without a FDNAME']],
  ['MAINPID=0', {}, ['MAINPID is no valid number']],
  ['MAINPID=0x1', {}, ['MAINPID is no valid number']],
  ['MAINPID=4294967297', {}, ['MAINPID is no valid number']],
  ['EXTEND_TIMEOUT_USEC=1e6\nREADY=1', { ready: true }, ['EXTEND_TIMEOUT_USEC is no valid number']],
]

describe('a message of sd_notify(3)', () => {
  for (const [text, expected] of GOOD) {
    it(`is read: ${JSON.stringify(text)}`, () => {
      assert.deepEqual(parseNotice(Buffer.from(text)), { ...NOTHING, ...expected })
    })
  }

  for (const [text, expected, flaws] of FLAWED) {
    it(`is read as far as it makes sense: ${JSON.stringify(text)}`, () => {
      assert.deepEqual(parseNotice(Buffer.from(text)), { ...NOTHING, ...expected, flaws })
    })
  }

  it('with a STATUS that is not UTF-8 has none', () => {
    const notice = parseNotice(Buffer.from('STATUS=\xff\nREADY=1', 'latin1'))
    assert.deepEqual(notice, { ...NOTHING, ready: true, flaws: ['STATUS is not UTF-8'] })
  })

  for (const [text, reason] of [
    ['', 'it is empty'],
    ['\0', 'it is empty'],
    ['READY=1\0STOPPING=1', 'it contains a NUL byte'],
    ['READY=1\0\0', 'it contains a NUL byte'],
    ['READY', 'it contains no assignment'],
    ['=1\n\n', 'it contains no assignment'],
  ] as const) {
    it(`is refused: ${JSON.stringify(text)}`, () => {
      assert.equal(parseNotice(Buffer.from(text)), reason)
    })
  }

  it('of any bytes is read or refused, and gives nothing that another part could not bear', () => {
    const word = fc.constantFrom(
      'READY',
      'FDSTORE',
      'FDNAME',
      'FDSTOREREMOVE',
      'FDPOLL',
      'MAINPID',
      'WATCHDOG',
      'WATCHDOG_USEC',
      'STATUS',
      'BARRIER',
    )
    const value = fc.oneof(fc.constant('1'), fc.string({ unit: 'binary' }), fc.bigInt().map(String))
    const line = fc.tuple(word, value).map(([name, text]) => Buffer.from(`${name}=${text}\n`))
    const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
    fc.assert(
      fc.property(fc.array(fc.oneof(line, bytes), { maxLength: 12 }), (parts) => {
        const notice = parseNotice(Buffer.concat(parts))
        if (typeof notice === 'string') return
        for (const name of [notice.store?.name, notice.remove]) assert.match(name ?? 'none', /^[ -9;-~]{1,255}$/)
        assert.ok(Number.isInteger(notice.mainPid ?? 1) && (notice.mainPid ?? 1) > 0)
        for (const time of [notice.watchdogInterval ?? 0, notice.extendTimeout ?? 0]) {
          assert.ok(Number.isInteger(time) && time >= 0 && time <= 0x7fffffff)
        }
      }),
      { numRuns: 2000 },
    )
  })
})
