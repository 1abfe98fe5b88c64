import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ConcurrencyLimit } from '../../src/os/processes/concurrency-limit.ts'

/** Acts that are under way, ended by the test. */
class Acts {
  readonly begun: number[] = []
  readonly #ends: (() => void)[] = []

  act(number: number): () => Promise<number> {
    return async () => {
      this.begun.push(number)
      await new Promise<void>((resolve) => (this.#ends[number] = resolve))
      return number
    }
  }

  end(number: number): void {
    this.#ends[number]?.()
  }
}

describe('ConcurrencyLimit', () => {
  it('lets so many begin, and the next when one has ended', async () => {
    const [turns, acts] = [new ConcurrencyLimit(2, 60_000), new Acts()]
    const all = [0, 1, 2, 3].map((number) => turns.take(acts.act(number)))
    await new Promise(setImmediate)
    assert.deepEqual(acts.begun, [0, 1])
    acts.end(1)
    await all[1]
    await new Promise(setImmediate)
    assert.deepEqual(acts.begun, [0, 1, 2])
    acts.end(0)
    acts.end(2)
    await all[0]
    await new Promise(setImmediate)
    acts.end(3)
    assert.deepEqual(await Promise.all(all), [0, 1, 2, 3])
  })

  it('does not let one that takes long keep the others from beginning, and does not count its end twice', async (t) => {
    // On a busy machine any time of the real clock may be over between two lines.
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const [turns, acts] = [new ConcurrencyLimit(1, 5), new Acts()]
    const long = turns.take(acts.act(0))
    const next = turns.take(acts.act(1))
    await new Promise(setImmediate)
    assert.deepEqual(acts.begun, [0])
    t.mock.timers.tick(5)
    await new Promise(setImmediate)
    assert.deepEqual(acts.begun, [0, 1])
    acts.end(0)
    assert.equal(await long, 0)
    acts.end(1)
    assert.equal(await next, 1)
    const [third, fourth] = [turns.take(acts.act(2)), turns.take(acts.act(3))]
    await new Promise(setImmediate)
    assert.deepEqual(acts.begun, [0, 1, 2])
    acts.end(2)
    await third
    await new Promise(setImmediate)
    acts.end(3)
    assert.equal(await fourth, 3)
  })

  it('gives the turn of one that failed to the next', async () => {
    const turns = new ConcurrencyLimit(1, 60_000)
    await assert.rejects(
      turns.take(() => Promise.reject(new Error('failed'))),
      /^Error: failed$/,
    )
    assert.equal(await turns.take(() => Promise.resolve('next')), 'next')
  })
})
