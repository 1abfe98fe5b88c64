import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { RESEND_BIT } from '../../src/fuse/protocol/constants.ts'
import { bytesOf, getattr, opening, reading } from '../support/fake-device.ts'
import { FILE, startSession } from '../support/faked-session.ts'

const { ECONNABORTED, EINTR, EINVAL, EIO, ENODEV, ENOENT, ENOMEM, ENOSYS, EROFS, ESTALE } = constants.errno

describe('a session', () => {
  it('answers as many requests as it is asked to, and no more', () => {
    const { device, session } = startSession()
    device.put(getattr(1n, 1n), getattr(2n, 1n), getattr(3n, 1n))
    assert.equal(session.serve(2), 2)
    assert.equal(session.serve(2), 1)
    assert.equal(session.serve(2), 0)
    assert.deepEqual(
      device.replies.map(({ unique }) => unique),
      [1n, 2n, 3n],
    )
    assert.equal(session.counts.get('GETATTR'), 3)
  })

  for (const [errno, name] of [
    [ENODEV, 'ENODEV'],
    [ECONNABORTED, 'ECONNABORTED'],
  ] as const) {
    it(`ends at ${name} without a word, and reads no more`, () => {
      const { device, told, outcomes, serve } = startSession()
      serve(errno, getattr(1n, 1n))
      assert.deepEqual([told, outcomes, device.replies], [['ended'], [{ kind: 'disconnected' }], []])
      assert.equal(serve(), 0)
      assert.equal(device.calls.length, 1)
    })
  }

  it('passes over a read that is withdrawn or interrupted', () => {
    const { device, told, serve } = startSession()
    assert.equal(serve(ENOENT, EINTR, getattr(1n, 1n)), 3)
    assert.deepEqual([told, device.replies.length], [[], 1])
  })

  it('is over at any other error of a read, which it names', () => {
    const { outcomes, serve } = startSession()
    serve(EINVAL)
    assert.deepEqual(outcomes, [{ kind: 'refused', message: `reading the device gives errno ${EINVAL}` }])
  })

  it('answers EIO where the kernel does not take an answer: the request would wait for ever', () => {
    const { device, told, serve } = startSession()
    device.refusesOnce.push(ENOMEM)
    serve(getattr(1n, 1n))
    assert.deepEqual(
      device.replies.map(({ unique, errno }) => [unique, errno]),
      [[1n, EIO]],
    )
    assert.match(told[0] ?? '', /warning: the kernel refuses an answer of \d+ bytes: errno 12/)
  })

  it('writes an answer again that a signal interrupts', () => {
    const { device, told, serve } = startSession()
    device.refusesOnce.push(EINTR, EINTR)
    serve(getattr(1n, 1n))
    assert.deepEqual([device.replies.map(({ errno }) => errno), told], [[0], []])
  })

  for (const [errno, words] of [
    [ENOENT, 0],
    [ENODEV, 0],
    [ECONNABORTED, 0],
    [EINVAL, 1],
  ] as const) {
    it(`${words === 0 ? 'takes' : 'tells of'} errno ${errno} for an answer, and goes on`, () => {
      const { device, told, serve } = startSession()
      device.refuses = errno
      serve(getattr(1n, 1n))
      assert.equal(told.length, words)
      if (words > 0) assert.match(told[0] ?? '', /warning: the kernel refuses an answer of \d+ bytes: errno 22/)
      device.refuses = 0
      serve(getattr(2n, 1n))
      assert.deepEqual(
        device.replies.map(({ unique }) => unique),
        [2n],
      )
    })
  }

  it('answers DESTROY, and neither FORGET nor BATCH_FORGET', () => {
    const { device, serve } = startSession()
    serve(
      bytesOf('FORGET', 1n, FILE, Buffer.alloc(8)),
      bytesOf('BATCH_FORGET', 2n, 0n, Buffer.alloc(8)),
      bytesOf('DESTROY', 3n, 0n),
    )
    assert.deepEqual(
      device.replies.map(({ unique, errno }) => [unique, errno]),
      [[3n, 0]],
    )
  })

  it('refuses an opcode that there is not with ENOSYS, and a malformed request with EIO, each alone', () => {
    const { device, told, serve } = startSession()
    const cut = reading('READ', 2n, FILE, FILE).subarray(0, 60)
    cut.writeUInt32LE(60, 0)
    const lies = getattr(3n, 1n)
    lies.writeUInt32LE(9999, 0)
    serve(bytesOf(999, 1n), cut, lies, Buffer.alloc(7), getattr(4n, 1n))
    assert.deepEqual(
      device.replies.map(({ unique, errno }) => [unique, errno]),
      [
        [1n, ENOSYS],
        [2n, EIO],
        [3n, EIO],
        [4n, 0],
      ],
    )
    assert.equal(told.filter((line) => line.startsWith('warning: a request that cannot be read: ')).length, 4)
  })

  it('goes on whatever bytes it is given', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (requests) => {
        const { outcomes, device, serve } = startSession()
        serve(...requests.map((bytes) => Buffer.from(bytes)))
        assert.deepEqual(outcomes, [])
        serve(getattr(77n, 1n))
        assert.equal(device.replies.at(-1)?.unique, 77n)
      }),
    )
  })

  it('answers ESTALE for nodes and handles that there are not', () => {
    const { device, serve } = startSession()
    serve(
      getattr(1n, 99n),
      opening('OPEN', 2n, 99n),
      opening('OPENDIR', 3n, 99n),
      reading('READ', 4n, FILE, 77n),
      reading('READDIR', 5n, 1n, 77n),
      reading('READDIRPLUS', 6n, 1n, 77n),
      bytesOf('LOOKUP', 7n, 99n, Buffer.from('dummy-file.txt\0')),
    )
    assert.deepEqual(
      device.replies.map(({ errno }) => errno),
      Array.from({ length: 7 }, () => ESTALE),
    )
  })

  it('reads by handles that a predecessor gave', () => {
    const first = startSession()
    first.serve(opening('OPEN', 1n, FILE))
    const fh = first.device.replies[0]?.body.readBigUInt64LE(0) ?? 0n
    const second = startSession()
    second.serve(reading('READ', 2n | RESEND_BIT, FILE, fh))
    assert.deepEqual(
      second.device.replies.map(({ unique, body }) => [unique, body.toString()]),
      [[2n | RESEND_BIT, 'Hello world!\n']],
    )
  })

  it('refuses every change with EROFS, and what it has no notion of with ENOSYS', () => {
    const { device, serve } = startSession()
    serve(
      bytesOf('UNLINK', 1n, 1n, Buffer.from('x\0')),
      bytesOf('RMDIR', 2n, 1n, Buffer.from('x\0')),
      bytesOf('READLINK', 3n, FILE),
    )
    assert.deepEqual(
      device.replies.map(({ errno }) => errno),
      [EROFS, EROFS, ENOSYS],
    )
  })

  it('prints each request and its reply with debug, and none without', () => {
    const { told, serve } = startSession({ options: ['debug'] })
    serve(getattr(5n, 1n), bytesOf('UNLINK', 6n, 1n, Buffer.from('x\0')))
    assert.deepEqual(
      told.map((line) => line.replace(/, pid: \d+$/, '')),
      [
        'trace: unique: 5, opcode: GETATTR (3), nodeid: 1, insize: 56',
        'trace:    unique: 5, success, outsize: 120',
        'trace: unique: 6, opcode: UNLINK (10), nodeid: 1, insize: 42',
        'trace:    unique: 6, error: -30 (EROFS), outsize: 16',
      ],
    )
    const quiet = startSession()
    quiet.serve(getattr(5n, 1n))
    assert.deepEqual(quiet.told, [])
  })
})
