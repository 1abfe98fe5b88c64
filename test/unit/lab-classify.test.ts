import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { classify, type Seen } from '../../src/lab/matrix/classify.ts'
import { compare, verdictOf } from '../../src/lab/matrix/outcomes.ts'
import type { Read } from '../../src/lab/cell/read-log.ts'
import type { OutcomeId } from '../../src/lab/matrix/lab-record.ts'

/** Reads that took 1 ms each, 10 ms apart: `right*3 ENOTCONN right*5`. `slow`: a right one that took 1.2 s. `hung`: one without an end. */
function reads(words: string): Read[] {
  const all = words.split(' ').flatMap((word) => {
    const [saw = '', times = '1'] = word.split('*')
    return Array.from({ length: Number(times) }, () => saw)
  })
  return all.map((saw, index) => {
    const beganMs = index * 10
    if (saw === 'hung') return { beganMs, endedMs: undefined, saw: '' }
    return saw === 'slow' ? { beganMs, endedMs: beganMs + 1200, saw: 'right' } : { beganMs, endedMs: beganMs + 1, saw }
  })
}

const CASES: { name: string; reads: string; rest?: Partial<Seen>; outcome: OutcomeId }[] = [
  { name: 'nothing but right reads', reads: 'right*9', outcome: 'works' },
  { name: 'right reads, one of which waited', reads: 'right slow right*5', outcome: 'waits' },
  {
    name: 'right reads, one of which took long for another node',
    reads: 'right slow right*5',
    rest: { longRead: 2500 },
    outcome: 'works',
  },
  { name: 'errors and then right reads', reads: 'ENOTCONN*3 right*5', outcome: 'recovers' },
  { name: 'errors, and too few right reads to tell', reads: 'ENOTCONN*3 right*4', outcome: 'errors' },
  { name: 'errors to the end', reads: 'right*9 ENOTCONN', outcome: 'errors' },
  { name: 'errors to the end over restarts', reads: 'ENOTCONN*3', rest: { restarts: 3 }, outcome: 'errors' },
  { name: 'a read that does not come back', reads: 'right*3 hung', outcome: 'hangs' },
  { name: 'a missing file to the end', reads: 'right*3 ENOENT*3', outcome: 'writes-to-host' },
  { name: 'other bytes to the end', reads: 'right*3 wrong', outcome: 'writes-to-host' },
  { name: 'a missing file for a time', reads: 'ENOTCONN ENOENT right*5', outcome: 'writes-to-host-recovers' },
  {
    name: 'a missing file for a time, and a restart',
    reads: 'ENOENT right*5',
    rest: { restarts: 1 },
    outcome: 'writes-to-host-recovers',
  },
  { name: 'an error, a restart and right reads', reads: 'ENOTCONN right*5', rest: { restarts: 1 }, outcome: 'restarted' },
  { name: 'a restart without any error', reads: 'right*9', rest: { restarts: 1 }, outcome: 'restarted' },
  { name: 'a start that failed before', reads: 'right*5', rest: { failedToStart: true }, outcome: 'starts-late' },
  { name: 'right reads of a process that has ended', reads: 'right*9', rest: { running: false }, outcome: 'errors' },
  { name: 'no start', reads: 'right', rest: { started: false }, outcome: 'never-starts' },
]

describe('what came of a consumer', () => {
  for (const { name, reads: words, rest, outcome } of CASES) {
    it(`is '${outcome}' with ${name}`, () => {
      assert.equal(
        classify({ reads: reads(words), running: true, started: true, failedToStart: false, restarts: 0, longRead: 1000, ...rest }),
        outcome,
      )
    })
  }

  it("is 'errors' without a single read", () => {
    assert.equal(classify({ reads: [], running: true, started: true, failedToStart: false, restarts: 0, longRead: 1000 }), 'errors')
  })
})

describe('a verdict', () => {
  const of = (...pairs: [OutcomeId, OutcomeId, OutcomeId[]?][]): ReturnType<typeof verdictOf> =>
    verdictOf(
      pairs.map(([seen, expected, also], index) => ({
        consumer: `c${index}`,
        seen,
        expected,
        ...(also === undefined ? {} : { alsoExpected: also }),
      })),
    )

  it('says whether the model is met, beaten or missed', () => {
    assert.deepEqual(of(['works', 'works'], ['errors', 'errors']), { verdict: 'as-modelled' })
    assert.deepEqual(of(['writes-to-host-recovers', 'recovers', ['writes-to-host-recovers']]), { verdict: 'as-modelled' })
    assert.deepEqual(of(['works', 'errors']), { verdict: 'better', why: 'c0: works, not errors for ever' })
    assert.equal(of(['works', 'works'], ['errors', 'works']).verdict, 'worse')
    assert.equal(of(['works', 'errors'], ['errors', 'works']).verdict, 'different')
    assert.equal(of(['starts-late', 'waits']).verdict, 'different')
    assert.deepEqual(verdictOf([], 'something is left'), { verdict: 'worse', why: 'something is left' })
    assert.equal(compare('waits', 'starts-late'), 'different')
    assert.deepEqual(of(['undecided', 'errors']), { verdict: 'different', why: 'c0: undecided, not errors for ever' })
    assert.equal(of(['undecided', 'works'], ['errors', 'works']).verdict, 'different')
  })
})
