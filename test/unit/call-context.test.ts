import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { isCallEnded, RunningCall, unlessAborted } from '../../src/call-context.ts'

/** Resolves to the reason that a signal is aborted with. */
async function reasonOf(signal: AbortSignal): Promise<unknown> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
  return signal.reason
}

describe('RunningCall', () => {
  it('aborts its work at the deadline less the margin, and its undoing later', async () => {
    using long = new RunningCall(100_000, { margin: 10_000 })
    assert.ok(long.remaining() <= 90_000 && long.remaining() > 80_000)
    assert.ok(long.cleanUp.remaining() > long.remaining())
    using call = new RunningCall(500, { margin: 100 })
    const reason = await reasonOf(call.signal)
    assert.ok(isCallEnded(reason) && reason.kind === 'deadline')
    assert.equal(call.remaining(), 0)
    assert.ok(!call.cleanUp.signal.aborted)
    await reasonOf(call.cleanUp.signal)
  })

  it('keeps no more than a fifth of its time as the margin', () => {
    using call = new RunningCall(100_000, { margin: 500_000 })
    assert.ok(call.remaining() > 70_000)
  })

  it('is over at once where there is no time left', () => {
    using call = new RunningCall(-1, { margin: 1000 })
    assert.ok(call.signal.aborted && call.cleanUp.signal.aborted)
    assert.equal(call.remaining(), 0)
  })

  it('does not end the time for undoing before that for the work, however long it takes to make', () => {
    let now = 0
    const clock = mock.method(performance, 'now', () => (now += 12))
    using call = new RunningCall(21, { margin: 10 })
    clock.mock.restore()
    assert.ok(call.signal.aborted || !call.cleanUp.signal.aborted)
  })

  it('stops the work of a client that is gone, and leaves it the time for undoing', () => {
    using call = new RunningCall(100_000, { margin: 10_000 })
    call.cancel()
    assert.ok(call.signal.aborted && !call.cleanUp.signal.aborted)
    assert.equal(call.remaining(), 0)
    assert.ok(call.cleanUp.remaining() > 90_000)
    assert.ok(isCallEnded(call.signal.reason) && call.signal.reason.kind === 'cancelled')
  })
})

describe('unlessAborted', () => {
  it('settles as the work does', async () => {
    const { signal } = new AbortController()
    assert.equal(await unlessAborted(Promise.resolve(1), signal), 1)
    await assert.rejects(unlessAborted(Promise.reject(new Error('it fails')), signal), /it fails/)
  })

  it('rejects with the reason once the signal is aborted, before or during the work', async () => {
    const controller = new AbortController()
    const waiting = unlessAborted(new Promise(() => undefined), controller.signal)
    controller.abort(new Error('enough'))
    await assert.rejects(waiting, /enough/)
    await assert.rejects(unlessAborted(Promise.resolve(1), controller.signal), /enough/)
  })

  it('ignores what the work rejects with after that', async () => {
    const work = Promise.withResolvers<never>()
    const controller = new AbortController()
    const during = unlessAborted(work.promise, controller.signal)
    controller.abort(new Error('enough'))
    await assert.rejects(during, /enough/)
    const before = Promise.withResolvers<never>()
    await assert.rejects(unlessAborted(before.promise, controller.signal), /enough/)
    for (const { reject } of [work, before]) reject(new Error('the test fails by an unhandled rejection'))
    await setImmediate()
  })
})
