import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AdaptivePolling } from '../../src/fuse/session/polling.ts'

const LONGEST = 0.05
/** A gap that polling would have met, and one that it would not. */
const QUICK = LONGEST
const SLOW = 100

function misses(polling: AdaptivePolling, count: number): void {
  for (let at = 0; at < count; at++) polling.miss()
}

describe('AdaptivePolling', () => {
  it('polls for its longest time to begin with', () => {
    assert.equal(new AdaptivePolling(LONGEST).window, LONGEST)
  })

  it('gives up after four windows in vain, not after three', () => {
    const polling = new AdaptivePolling(LONGEST)
    misses(polling, 3)
    assert.equal(polling.window, LONGEST)
    misses(polling, 1)
    assert.equal(polling.window, 0)
  })

  it('counts only windows in vain that follow one another', () => {
    const polling = new AdaptivePolling(LONGEST)
    for (let round = 0; round < 10; round++) {
      misses(polling, 3)
      polling.hit()
    }
    assert.equal(polling.window, LONGEST)
  })

  it('stays off while requests come now and then', () => {
    const polling = new AdaptivePolling(LONGEST)
    misses(polling, 4)
    for (let round = 0; round < 1000; round++) {
      polling.woke(SLOW)
      assert.equal(polling.window, 0)
    }
  })

  it('is tried again after two quick comers in a row, and needs twice as many each time that it was in vain', () => {
    const polling = new AdaptivePolling(LONGEST)
    for (const needed of [2, 4, 8, 16, 32, 64, 64, 64]) {
      misses(polling, 4)
      for (let at = 1; at < needed; at++) {
        polling.woke(QUICK)
        assert.equal(polling.window, 0, `${at} of ${needed}`)
      }
      polling.woke(QUICK)
      assert.equal(polling.window, LONGEST, `${needed}`)
    }
  })

  it('counts only quick comers that follow one another', () => {
    const polling = new AdaptivePolling(LONGEST)
    misses(polling, 4)
    for (let round = 0; round < 10; round++) {
      polling.woke(QUICK)
      polling.woke(SLOW)
    }
    assert.equal(polling.window, 0)
  })

  it('needs two again once it has met a request', () => {
    const polling = new AdaptivePolling(LONGEST)
    misses(polling, 4)
    polling.woke(QUICK)
    polling.woke(QUICK)
    polling.hit()
    misses(polling, 4)
    polling.woke(QUICK)
    polling.woke(QUICK)
    assert.equal(polling.window, LONGEST)
  })

  it('takes no account of being woken while it is on', () => {
    const polling = new AdaptivePolling(LONGEST)
    for (let round = 0; round < 10; round++) polling.woke(SLOW)
    assert.equal(polling.window, LONGEST)
  })

  it('is off for good with a time of 0', () => {
    const polling = new AdaptivePolling(0)
    misses(polling, 4)
    for (let round = 0; round < 100; round++) polling.woke(0)
    assert.equal(polling.window, 0)
  })
})
