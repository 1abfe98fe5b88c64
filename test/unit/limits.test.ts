import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { checkedLimits } from '../../src/limits.ts'
import { CALL_DEADLINE, pluginLimits } from '../../src/programs/plugin/limits.ts'

describe('checkedLimits', () => {
  const why = 'a reason'

  it('gives the numbers alone', () => {
    assert.deepEqual(
      checkedLimits({ one: { value: 1, why }, two: { value: 2, why } }, ({ one, two }) => [['one is less', one < two]]),
      { one: 1, two: 2 },
    )
  })

  it('refuses what is no number above 0, what has no reason, and relations that do not hold', () => {
    assert.throws(() => checkedLimits({ one: { value: 0, why } }, () => []), /limit one is 0; it must be a number above 0/)
    assert.throws(() => checkedLimits({ one: { value: NaN, why } }, () => []), /limit one is NaN/)
    assert.throws(() => checkedLimits({ one: { value: 1, why: '' } }, () => []), /limit one has no reason/)
    assert.throws(
      () => checkedLimits({ one: { value: 1, why } }, ({ one }) => [['one is more than two', one > 2]]),
      /the limits contradict each other: it must be that one is more than two/,
    )
  })
})

describe('pluginLimits', () => {
  for (const seconds of [CALL_DEADLINE.least, CALL_DEADLINE.standard, CALL_DEADLINE.most])
    for (const startsAtOnce of [1, 9999])
      it(`fit together with --call-deadline ${seconds} --starts-at-once ${startsAtOnce}`, () => {
        assert.equal(pluginLimits({ callDeadline: seconds * 1000, startsAtOnce }).call, seconds * 1000)
      })
})
