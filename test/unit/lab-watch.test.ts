import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReadLog } from '../../src/lab/cell/read-log.ts'
import { decided, type Watched, watchedFrom } from '../../src/lab/cell/watch.ts'
import { undecidedBelowNeed } from '../../src/lab/driver/need.ts'
import type { Cell, ConsumerResult, OutcomeId } from '../../src/lab/matrix/lab-record.ts'
import { sampleRecord } from '../fixtures/lab-record.ts'

const MENDED = 10_000
const WATCH = 2000

/** A consumer whose reads ended so, at these times. `open`: when a read began that has not come back. */
function consumer(
  reads: readonly (readonly [atMs: number, saw: string])[],
  rest: { startedAt?: number; wantedAt?: number; attemptFailedAt?: number; open?: number } = {},
): Watched {
  const log = new ReadLog()
  for (const [atMs, saw] of reads) {
    log.begin(atMs - 1)
    log.end(atMs, saw)
  }
  if (rest.open !== undefined) log.begin(rest.open)
  const { startedAt, wantedAt, attemptFailedAt = -Infinity } = rest
  return { reads: log, startedAt, wantedAt, failedSince: (since) => attemptFailedAt >= since }
}

describe('the watch of a consumer', () => {
  it('begins with the repair, or with its own start, or with when it was asked for', () => {
    assert.equal(watchedFrom(consumer([], { wantedAt: 1, startedAt: 2 }), MENDED), MENDED)
    assert.equal(watchedFrom(consumer([], { wantedAt: 10_001, startedAt: 12_000 }), MENDED), 12_000)
    assert.equal(watchedFrom(consumer([], { wantedAt: 10_001 }), MENDED), 10_001)
  })

  const CASES: { name: string; of: Watched; seen: OutcomeId; at: number; is: OutcomeId }[] = [
    {
      name: 'errors for the whole of it',
      of: consumer(
        [
          [9000, 'right'],
          [9500, 'ENOTCONN'],
          [11_900, 'ENOTCONN'],
        ],
        { startedAt: 1 },
      ),
      ...{ seen: 'errors', at: 12_000, is: 'errors' },
    },
    {
      name: 'errors for less',
      of: consumer([[11_900, 'ENOTCONN']], { startedAt: 1 }),
      ...{ seen: 'errors', at: 11_999, is: 'undecided' },
    },
    {
      name: 'a right read in it, and errors again',
      of: consumer(
        [
          [11_000, 'right'],
          [11_900, 'ENOTCONN'],
        ],
        { startedAt: 1 },
      ),
      ...{ seen: 'errors', at: 12_500, is: 'undecided' },
    },
    {
      name: 'a right read in it, and errors for as long as a watch since',
      of: consumer(
        [
          [11_000, 'right'],
          [12_900, 'ENOTCONN'],
        ],
        { startedAt: 1 },
      ),
      ...{ seen: 'errors', at: 13_000, is: 'errors' },
    },
    {
      name: 'four right reads at the end, which are too few',
      of: consumer(
        [
          [11_800, 'ENOTCONN'],
          [11_825, 'right'],
          [11_850, 'right'],
          [11_875, 'right'],
          [11_900, 'right'],
        ],
        { startedAt: 1 },
      ),
      ...{ seen: 'errors', at: 12_100, is: 'undecided' },
    },
    {
      name: 'no read at all',
      of: consumer([], { startedAt: 10_500 }),
      ...{ seen: 'errors', at: 13_000, is: 'undecided' },
    },
    {
      name: 'the bare folder, seen by a consumer that has just started',
      of: consumer([[13_900, 'ENOENT']], { startedAt: 12_500 }),
      ...{ seen: 'writes-to-host', at: 14_000, is: 'undecided' },
    },
    {
      name: 'the bare folder, seen for as long as the others see it',
      of: consumer([[14_400, 'ENOENT']], { startedAt: 12_500 }),
      ...{ seen: 'writes-to-host', at: 14_500, is: 'writes-to-host' },
    },
    {
      name: 'restarts that are refused',
      of: consumer([[9500, 'ENOTCONN']], { startedAt: 1, attemptFailedAt: 11_800 }),
      ...{ seen: 'errors', at: 12_000, is: 'errors' },
    },
    {
      name: 'an attempt to start it that is still under way',
      of: consumer([], { wantedAt: 10_001, attemptFailedAt: 9000 }),
      ...{ seen: 'never-starts', at: 14_000, is: 'undecided' },
    },
    {
      name: 'attempts to start it that failed',
      of: consumer([], { wantedAt: 10_001, attemptFailedAt: 11_000 }),
      ...{ seen: 'never-starts', at: 12_001, is: 'never-starts' },
    },
    {
      name: 'a read that has not come back for a part of it',
      of: consumer([[10_500, 'ENOTCONN']], { startedAt: 1, open: 10_600 }),
      ...{ seen: 'hangs', at: 12_500, is: 'undecided' },
    },
    {
      name: 'a read that has not come back for the whole of it',
      of: consumer([[9000, 'right']], { startedAt: 1, open: 9100 }),
      ...{ seen: 'hangs', at: 12_000, is: 'hangs' },
    },
    {
      name: 'right reads, which need no watch',
      of: consumer([[10_100, 'right']], { startedAt: 1 }),
      ...{ seen: 'recovers', at: 10_200, is: 'recovers' },
    },
  ]
  for (const { name, of, seen, at, is } of CASES)
    it(`makes it '${is}' with ${name}`, () => {
      assert.equal(decided(seen, of, MENDED, at, WATCH), is)
    })
})

describe('what a driver was seen to need in one cell', () => {
  const [CELL] = sampleRecord({ lines: 0 }).cells
  const [RESULT] = CELL?.consumers ?? []
  assert.ok(CELL !== undefined && RESULT !== undefined)

  function cell(...consumers: readonly Partial<ConsumerResult>[]): Cell {
    assert.ok(CELL !== undefined && RESULT !== undefined)
    const base = { ...RESULT, restarts: 0, watchedMs: 2000, firstRightAfterFailureMs: null }
    return { ...CELL, failureAtMs: 1000, mendedAtMs: 1500, consumers: consumers.map((one) => ({ ...base, ...one })) }
  }
  const seenIn = (cells: readonly Cell[]): readonly string[] =>
    undecidedBelowNeed(cells).flatMap(({ consumers }) => consumers.map(({ seen }) => seen))
  const dead = cell({ seen: 'errors' }, { seen: 'works' }, { seen: 'writes-to-host', watchedMs: 4000 })

  it('is needed in the others: what was watched for less is undecided', () => {
    const cured = cell({ seen: 'recovers', firstRightAfterFailureMs: 4000 })
    assert.deepEqual(seenIn([dead, cured]), ['undecided', 'works', 'writes-to-host', 'recovers'])
  })

  it('is also what a read waited for before it came right', () => {
    const waited = cell({ seen: 'waits', firstRightAfterFailureMs: 4000 })
    assert.deepEqual(seenIn([dead, waited]), ['undecided', 'works', 'writes-to-host', 'waits'])
  })

  it('is nothing where no process read right again, or where that took less than the watch', () => {
    const quick = cell({ seen: 'recovers', firstRightAfterFailureMs: 2000 })
    const restarted = cell(
      { seen: 'recovers', restarts: 1, firstRightAfterFailureMs: 9000 },
      { seen: 'starts-late', firstRightAfterFailureMs: 9000 },
    )
    assert.deepEqual(seenIn([dead, quick, restarted]).slice(0, 3), ['errors', 'works', 'writes-to-host'])
  })
})
