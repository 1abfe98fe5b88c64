import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { RunningCall } from '../../src/call-context.ts'
import { QueuedError } from '../../src/hosts/host.ts'
import { StartQueue } from '../../src/hosts/start-queue.ts'

/** Starts that are under way, ended by the test. */
class Starts {
  readonly begun: string[] = []
  readonly #ends = new Map<string, () => void>()
  readonly waits = new Map<string, () => void>()

  act(key: string): (waits: () => void) => Promise<string> {
    return async (waits) => {
      this.begun.push(key)
      this.waits.set(key, waits)
      await new Promise<void>((resolve) => this.#ends.set(key, resolve))
      return key
    }
  }

  end(key: string): void {
    this.#ends.get(key)?.()
  }
}

const LONG = { startsAtOnce: 1, leastStart: 1, promptMount: 10, placeKept: 60_000 }

function call(time = 60_000): RunningCall {
  return new RunningCall(time, { margin: 0 })
}

describe('StartQueue', () => {
  it('lets so many start, and the next when one has ended, in the order in which they came', async () => {
    const [queue, starts] = [new StartQueue({ ...LONG, startsAtOnce: 2 }), new Starts()]
    const all = ['a', 'b', 'c', 'd'].map((key) => queue.run(key, call(), starts.act(key)))
    await setImmediate()
    assert.deepEqual(starts.begun, ['a', 'b'])
    assert.equal(queue.waiting, 2)
    starts.end('b')
    await all[1]
    await setImmediate()
    assert.deepEqual(starts.begun, ['a', 'b', 'c'])
    for (const key of ['a', 'c']) starts.end(key)
    await setImmediate()
    starts.end('d')
    assert.deepEqual(await Promise.all(all), ['a', 'b', 'c', 'd'])
    assert.equal(queue.waiting, 0)
  })

  it('counts a start that waits for its storage no more after a while, once', async () => {
    const [queue, starts] = [new StartQueue(LONG), new Starts()]
    const all = ['a', 'b', 'c'].map((key) => queue.run(key, call(), starts.act(key)))
    await setImmediate()
    starts.waits.get('a')?.()
    starts.waits.get('a')?.()
    assert.deepEqual(starts.begun, ['a'])
    await sleep(2 * LONG.promptMount)
    assert.deepEqual(starts.begun, ['a', 'b'])
    starts.end('a')
    await all[0]
    await setImmediate()
    assert.deepEqual(starts.begun, ['a', 'b'])
    for (const key of ['b', 'c']) {
      starts.end(key)
      await setImmediate()
    }
    await Promise.all(all)
  })

  it('has every second start be one that a client waits for, as long as there are both', async () => {
    const [queue, starts] = [new StartQueue(LONG), new Starts()]
    const unawaited = (): RunningCall => new RunningCall(60_000, { margin: 0 }, false)
    const late = unawaited()
    const calls = { a: unawaited(), b: unawaited(), c: unawaited(), d: late, x: call(), y: call() }
    const all = Object.entries(calls).map(([key, one]) => queue.run(key, one, starts.act(key)))
    // A client has come to wait for it.
    late.hurry()
    for (let done = 0; done < all.length; done++) {
      await setImmediate()
      starts.end(starts.begun[done] ?? '')
      await setImmediate()
    }
    await Promise.all(all)
    assert.deepEqual(starts.begun, ['a', 'd', 'b', 'x', 'c', 'y'])
  })

  it('gives a turn back when a start fails', async () => {
    const queue = new StartQueue(LONG)
    await assert.rejects(
      queue.run('a', call(), () => Promise.reject(new Error('it fails'))),
      /it fails/,
    )
    assert.equal(await queue.run('b', call(), () => Promise.resolve('b')), 'b')
  })

  it('says the place of a call whose turn does not come in time, and keeps it for the next call', async () => {
    const [queue, starts] = [new StartQueue(LONG), new Starts()]
    const first = queue.run('first', call(), starts.act('first'))
    const early = await queue.run('early', call(20), starts.act('early')).catch((error: unknown) => error)
    assert.ok(early instanceof QueuedError)
    assert.match(early.message, /the start of early is number 1 of 1 in the queue/)
    const others = ['x', 'y'].map((key) => queue.run(key, call(), starts.act(key)))
    const again = queue.run('early', call(), starts.act('early'))
    await setImmediate()
    starts.end('first')
    await first
    await setImmediate()
    assert.deepEqual(starts.begun, ['first', 'early'])
    for (const key of ['early', 'x', 'y']) {
      starts.end(key)
      await setImmediate()
    }
    await Promise.all([again, ...others])
  })

  it('goes past the place of a call that has not come again', async () => {
    const [queue, starts] = [new StartQueue(LONG), new Starts()]
    const first = queue.run('first', call(), starts.act('first'))
    await assert.rejects(queue.run('gone', call(20), starts.act('gone')), QueuedError)
    const next = queue.run('next', call(), starts.act('next'))
    starts.end('first')
    await first
    await setImmediate()
    starts.end('next')
    assert.equal(await next, 'next')
  })

  it('rejects with the reason of a call whose client is gone', async () => {
    const [queue, starts] = [new StartQueue(LONG), new Starts()]
    const first = queue.run('first', call(), starts.act('first'))
    const cancelled = call()
    const second = queue.run('second', cancelled, starts.act('second'))
    cancelled.cancel()
    await assert.rejects(second, /the client has cancelled the call/)
    starts.end('first')
    await first
    assert.deepEqual(starts.begun, ['first'])
  })
})
