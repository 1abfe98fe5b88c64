import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RestartDelay } from '../../src/os/processes/restart-delay.ts'

const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make)

describe("the delay before the program's next start", () => {
  it('doubles from 0.1 to 10 seconds while the program is never ready', () => {
    const restart = new RestartDelay()
    const delays = times(9, () => restart.after(undefined, true))
    assert.deepEqual(delays, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000])
  })

  it('is none after a program that was ready, and the next failure begins anew', () => {
    const restart = new RestartDelay()
    times(3, () => restart.after(undefined, true))
    assert.deepEqual([restart.after(150, true), restart.after(undefined, true)], [0, 100])
  })

  it('grows for one that is ready and fails at once, more than ten times in a row, until it lives longer', () => {
    const restart = new RestartDelay()
    assert.deepEqual(
      times(13, () => restart.after(1, true)),
      [...Array<number>(10).fill(0), 100, 200, 400],
    )
    assert.deepEqual([restart.after(100, true), restart.after(1, true)], [0, 0])
  })

  it('does not grow for one that somebody kills, however often', () => {
    const restart = new RestartDelay()
    assert.deepEqual(
      times(50, () => restart.after(1, false)),
      Array<number>(50).fill(0),
    )
    assert.deepEqual(
      times(50, () => restart.after(undefined, false)),
      Array<number>(50).fill(100),
    )
    assert.equal(restart.after(undefined, true), 100)
  })
})
