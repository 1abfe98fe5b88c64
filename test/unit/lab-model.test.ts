import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FAILURES } from '../../src/lab/failures/all.ts'
import { CLAIMS } from '../../src/lab/matrix/claims.ts'
import { CONSUMERS } from '../../src/lab/matrix/consumers.ts'
import { ABSENT, GROUPS, MODEL } from '../../src/lab/matrix/model.ts'
import { OUTCOMES } from '../../src/lab/matrix/outcomes.ts'
import { expectation, idsOf, plan } from '../../src/lab/matrix/plan.ts'
import { MITIGATIONS } from '../../src/lab/mitigations.ts'

const ALL = { failures: [], mitigations: [], consumers: [] }
const FAILURE_IDS = FAILURES.map(({ id }) => id)
const MITIGATION_IDS = MITIGATIONS.map(({ id }) => id)
const CONSUMER_IDS = CONSUMERS.map(({ id }) => id)

/** The places of a line that are within these ids, of every failure, mitigation and consumer. */
function placesOf([failures, mitigations, consumers]: readonly [string, string, string, ...unknown[]]): string[] {
  return (idsOf(failures) ?? FAILURE_IDS).flatMap((failure) =>
    (idsOf(mitigations) ?? MITIGATION_IDS).flatMap((mitigation) =>
      (idsOf(consumers) ?? CONSUMER_IDS).map((consumer) => `${failure} ${mitigation} ${consumer}`),
    ),
  )
}

describe("the lab's model", () => {
  it('says something of every combination, or why there is none', () => {
    const { cells, absent } = plan(ALL)
    const planned = cells.flatMap(({ failure, mitigation, consumers }) =>
      Object.keys(consumers).map((consumer) => `${failure.id} ${mitigation.id} ${consumer}`),
    )
    const left = absent.flatMap(({ failure, mitigation, consumer, reason }) => {
      assert.ok(reason.length > 20, `${failure} under ${mitigation} is absent without a reason`)
      return (consumer === undefined ? CONSUMER_IDS : [consumer]).map((id) => `${failure} ${mitigation} ${id}`)
    })
    const all = placesOf(['*', '*', '*'])
    assert.deepEqual([...planned, ...left].sort(), all.sort())
  })

  it('has each outcome from a claim with a reason and a source', () => {
    for (const { failure, mitigation, consumers } of plan(ALL).cells) {
      for (const [consumer, model] of Object.entries(consumers)) {
        assert.ok(model !== null)
        const { outcome, or, reason, source } = model
        const where = `${failure.id} under ${mitigation.id}, ${consumer}`
        for (const id of [outcome, ...(or ?? [])]) assert.ok(Object.hasOwn(OUTCOMES, id), `${where}: ${id}`)
        assert.ok(reason.endsWith('.') && source !== '', where)
      }
    }
  })

  it('has no line that another one hides, no name that is unknown, and no claim that nothing rests on', () => {
    const absent = new Set(ABSENT.flatMap(placesOf))
    const taken = new Set<string>()
    for (const line of MODEL) {
      const fresh = placesOf(line).filter((place) => !taken.has(place) && !absent.has(place))
      assert.notEqual(fresh.length, 0, `no combination is decided by ${line.slice(0, 3).join(' / ')}`)
      for (const place of placesOf(line)) taken.add(place)
    }
    const known = new Set([...FAILURE_IDS, ...MITIGATION_IDS, ...CONSUMER_IDS])
    for (const words of [
      ...MODEL.flatMap((line) => line.slice(0, 3)),
      ...ABSENT.flatMap((line) => line.slice(0, 3)),
      ...Object.values(GROUPS),
    ]) {
      for (const id of idsOf(words) ?? []) assert.ok(known.has(id), `'${id}' in '${words}'`)
    }
    assert.deepEqual(Object.keys(CLAIMS).sort(), [...new Set(MODEL.map((line) => line[4]))].sort())
  })

  it('takes the first line that fits', () => {
    assert.equal(expectation('plugin-killed', 'none', 'keeps-open').outcome, 'errors')
    assert.equal(expectation('plugin-killed', 'none', 'starts-after').outcome, 'works')
    assert.deepEqual(expectation('plugin-killed', 'restore', 'opens-anew').or, ['writes-to-host-recovers'])
    assert.throws(() => expectation('fire', 'none', 'keeps-open'), /says nothing of fire/)
  })

  it('plans only what is chosen', () => {
    const { cells, absent } = plan({
      failures: ['daemon-hung'],
      mitigations: ['none', 'sync-init'],
      consumers: ['mapped', 'starts-during'],
    })
    assert.deepEqual(
      cells.map(({ failure, mitigation, consumers }) => [failure.id, mitigation.id, Object.keys(consumers)]),
      [['daemon-hung', 'none', ['mapped']]],
    )
    assert.deepEqual(
      absent.map(({ failure, mitigation, consumer }) => [failure, mitigation, consumer]),
      [
        ['daemon-hung', 'none', 'starts-during'],
        ['daemon-hung', 'sync-init', undefined],
      ],
    )
  })
})
