import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { alternate, atOnce, figures, medians } from '../../bench/measure.ts'
import { difference, ratio, single, table, value } from '../../bench/row.ts'

const hundred = Array.from({ length: 100 }, (_, i) => i + 1)

describe('the bench’s figures', () => {
  it('are the value in the middle and the one that a hundredth exceeds', () => {
    assert.deepEqual(figures('x', hundred.toReversed()), { name: 'x', p50: 51, p99: 100 })
  })

  it('of several runs are the medians of theirs', () => {
    const runs = [
      { p50: 3, p99: 9 },
      { p50: 1, p99: 1000 },
      { p50: 2, p99: 8 },
    ]
    assert.deepEqual(medians('x', runs), { name: 'x', p50: 2, p99: 9 })
  })

  const ours = { name: 'ours', p50: 6, p99: 30 }
  const peer = { name: 'peer', p50: 4, p99: 10 }
  const cases = {
    'a ratio of p50 by default': { row: ratio({ work: 'w', unit: 'ms', limit: 1.5, ours, peer }), result: 1.5, within: true },
    'a ratio of p99': { row: ratio({ work: 'w', unit: 'ms', limit: 1.5, ours, peer, by: 'p99' }), result: 3, within: false },
    'an allowance': { row: ratio({ work: 'w', unit: 'ms', limit: 1, ours, peer, allowance: 2 }), result: 1, within: true },
    'a difference': { row: difference({ work: 'w', unit: 'ms', limit: 1, ours, peer }), result: 2, within: false },
    'a value': { row: value({ work: 'w', unit: 'MB', limit: 6, ours }), result: 6, within: true },
    'no figure at all': { row: value({ work: 'w', unit: 'MB', limit: 6, ours: single('ours', NaN) }), result: NaN, within: false },
  }
  for (const [what, { row, result, within }] of Object.entries(cases)) {
    it(`are judged: ${what}`, () => {
      assert.deepEqual({ result: row.result, within: row.within }, { result, within })
    })
  }

  it('make a table in which what could not be measured is no pass', () => {
    const rows = [ratio({ work: 'work', unit: 'µs', limit: 1, ours, peer }), { work: 'other', error: 'not there yet' }]
    assert.deepEqual(table(rows).split('\n'), [
      'what   ours                peer                result  limit  within',
      'work   ours 6 µs (p99 30)  peer 4 µs (p99 10)  1.50x   <= 1x  NO',
      'other  ERROR: not there yet',
    ])
  })

  it('are taken of two things in turn, in blocks whose first round is not counted', async () => {
    const calls: string[] = []
    const round = (name: string) => () => Promise.resolve(`${name}${calls.push(name)}`)
    const { ours, peer } = await alternate(20, round('o'), round('p'))
    assert.equal(calls.join(''), ['o', 'p', 'o', 'p'].map((name) => name.repeat(11)).join(''))
    assert.deepEqual([ours.length, peer.length, ours[0], peer[0], ours[10]], [20, 20, 'o2', 'p13', 'o24'])
  })

  it('are taken of so many at once and no more', async () => {
    let now = 0
    let most = 0
    const done: number[] = []
    await atOnce(4, hundred, async (item) => {
      most = Math.max(most, ++now)
      await Promise.resolve()
      now--
      done.push(item)
    })
    assert.equal(most, 4)
    assert.deepEqual(done, hundred)
  })
})
