import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { INIT, NOTIFY, RESEND_BIT } from '../../src/fuse/protocol/constants.ts'
import { getattr, init, interrupt, reading } from '../support/fake-device.ts'
import { ALL_FLAGS, FILE, SlowFs, startSession } from '../support/faked-session.ts'

const { EAGAIN, EINTR, EINVAL, EIO, ENODEV, ENOENT, ENOMEM, EPROTO } = constants.errno

describe('the handshake', () => {
  it('answers INIT with the lesser version, with wanted flags alone, and tells before and after', () => {
    const { device, told, negotiated, serve } = startSession()
    serve(init(1n, ALL_FLAGS))
    assert.deepEqual(told, ['initialising', 'initialised'])
    const [reply] = device.replies
    assert.equal(reply?.unique, 1n)
    assert.equal(reply.errno, 0)
    assert.deepEqual([reply.body.readUInt32LE(0), reply.body.readUInt32LE(4)], [7, 45])
    const flags = BigInt(reply.body.readUInt32LE(12)) | (BigInt(reply.body.readUInt32LE(32)) << 32n)
    assert.equal(flags, negotiated[0]?.flags)
    for (const wanted of ['PARALLEL_DIROPS', 'HAS_RESEND', 'INIT_EXT', 'MAX_PAGES', 'ASYNC_READ'] as const)
      assert.equal(flags & INIT[wanted], INIT[wanted], wanted)
    assert.equal(flags & INIT.POSIX_LOCKS, 0n)
    assert.equal(negotiated[0]?.resend, true)
  })

  it('is over, and not initialised, where the kernel does not take the answer to INIT', () => {
    const { device, told, outcomes, serve } = startSession()
    device.refusesOnce.push(ENOMEM)
    serve(init(1n, ALL_FLAGS))
    assert.ok(!told.includes('initialised'), told.join(', '))
    assert.deepEqual(outcomes, [{ kind: 'refused', message: `the kernel refuses the answer to INIT: errno ${ENOMEM}` }])
    assert.equal(device.replies[0]?.errno, EIO)
  })

  it('knows a kernel that cannot be asked again', () => {
    const { negotiated, serve } = startSession()
    serve(init(1n, ALL_FLAGS & ~INIT.HAS_RESEND, 7, 39))
    assert.deepEqual([negotiated[0]?.resend, negotiated[0]?.minor], [false, 39])
  })

  it('has a newer kernel speak our version, and does not count that as the start', () => {
    const { device, told, serve } = startSession()
    serve(init(1n, ALL_FLAGS, 8, 0))
    assert.deepEqual(told, [])
    assert.equal(device.replies[0]?.body.readUInt32LE(0), 7)
    serve(init(2n, ALL_FLAGS))
    assert.deepEqual(told, ['initialising', 'initialised'])
  })

  for (const [major, minor] of [
    [7, 30],
    [7, 5],
    [6, 99],
  ] as const) {
    it(`refuses a kernel of ${major}.${minor}, and is over`, () => {
      const { device, outcomes, serve } = startSession()
      serve(init(1n, ALL_FLAGS, major, minor), getattr(2n, 1n))
      assert.deepEqual(
        device.replies.map(({ unique, errno }) => [unique, errno]),
        [[1n, EPROTO]],
      )
      const [outcome] = outcomes
      assert.ok(outcome?.kind === 'refused')
      assert.match(outcome.message, new RegExp(`version ${major}\\.${minor} .* needed is 7\\.31`))
    })
  }

  it('holds its answer back until it is let go, and serves what comes meanwhile', () => {
    const { device, session, told, serve } = startSession({ hold: true })
    serve(init(1n, ALL_FLAGS))
    assert.deepEqual([device.replies, session.holdsInit], [[], true])
    session.answerInit()
    session.answerInit()
    assert.deepEqual(
      device.replies.map(({ unique, errno }) => [unique, errno]),
      [[1n, 0]],
    )
    assert.deepEqual([told, session.holdsInit], [['initialising', 'initialised'], false])
  })

  it('refuses what it held back, once, and is over', () => {
    const { device, session, outcomes, serve } = startSession({ hold: true })
    serve(init(1n, ALL_FLAGS))
    session.answerInit('it took too long')
    session.answerInit()
    assert.deepEqual(
      device.replies.map(({ unique, errno }) => [unique, errno]),
      [[1n, EIO]],
    )
    assert.deepEqual(outcomes, [{ kind: 'refused', message: 'it took too long' }])
    assert.equal(serve(getattr(2n, 1n)), 0)
  })

  it('has nothing to answer before INIT has come', () => {
    const { device, session } = startSession({ hold: true })
    session.answerInit('too early')
    session.answerInit()
    assert.deepEqual(device.calls, [])
  })
})

describe('a successor’s session', () => {
  it('asks for lost requests again before it reads any', () => {
    const { device, session, serve } = startSession()
    session.resend()
    serve(getattr(1n | RESEND_BIT, 1n))
    assert.deepEqual(device.calls.slice(0, 2), ['write', 'read'])
    const [resend, answer] = device.replies
    assert.deepEqual([resend?.unique, resend?.errno, resend?.body.length], [0n, -NOTIFY.RESEND, 0])
    assert.equal(answer?.unique, 1n | RESEND_BIT)
  })

  for (const [errno, words] of [
    [ENODEV, 0],
    [ENOENT, 0],
    [EINVAL, 1],
  ] as const) {
    it(`${words === 0 ? 'leaves' : 'tells of'} errno ${errno} to the first read`, () => {
      const { device, session, told } = startSession()
      device.refuses = errno
      session.resend()
      assert.equal(told.length, words)
    })
  }

  it('is asked INIT again where its predecessor died with it', () => {
    const { device, told, session, serve } = startSession()
    session.resend()
    serve(init(1n | RESEND_BIT, ALL_FLAGS))
    assert.deepEqual(told, ['initialising', 'initialised'])
    assert.deepEqual(
      device.replies.map(({ unique }) => unique),
      [0n, 1n | RESEND_BIT],
    )
  })

  it('interrupts what was resent by the number that it came with', async () => {
    const slow = new SlowFs()
    const { device, serve } = startSession({ filesystem: slow })
    serve(reading('READ', 1n | RESEND_BIT, FILE, FILE), interrupt(2n, 1n | RESEND_BIT))
    assert.deepEqual(
      device.replies.map(({ unique, errno }) => [unique, errno]),
      [[1n | RESEND_BIT, EINTR]],
    )
    await setImmediate()
  })

  it('sleeps when there is nothing', () => {
    const { device, session } = startSession()
    assert.equal(session.serve(10), 0)
    assert.deepEqual(device.calls, ['read'])
    assert.ok(EAGAIN > 0)
  })
})
