import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReadLog } from '../../src/lab/cell/read-log.ts'
import { workload } from '../../src/lab/cell/reader-programs.ts'
import { describeReads } from '../../src/lab/scenarios/steps.ts'

/** What is known of the reads after a workload has logged these lines, one every 10 ms. */
function readsOf(...lines: string[]): ReadLog {
  const { follow } = workload({ executable: '/bin/false', args: [], argv0: 'false' })
  const reads = new ReadLog()
  for (const [index, line] of lines.entries()) {
    const isOnlyForTheLab = follow({ atMs: index * 10, line: `2021/04/16 13:36:21 ${line}` }, reads)
    assert.equal(isOnlyForTheLab, false)
  }
  return reads
}

const READ_ERROR = 'read error: read /mnt/f: transport endpoint is not connected'

const CASES: { name: string; lines: string[]; reads: { beganMs: number; saw: string }[] }[] = [
  { name: 'an empty log', lines: [], reads: [] },
  { name: 'a read that has only begun', lines: ['opened file /mnt/f', 'reading'], reads: [] },
  {
    name: 'reads through one descriptor',
    lines: ['opened file /mnt/f', 'reading', 'reading', 'reading'],
    reads: [
      { beganMs: 10, saw: 'right' },
      { beganMs: 20, saw: 'right' },
    ],
  },
  {
    name: 'a file opened for each read',
    lines: ['opened file /mnt/f', 'reading', 'opened file /mnt/f', 'reading', 'opened file /mnt/f', 'reading'],
    reads: [
      { beganMs: 10, saw: 'right' },
      { beganMs: 30, saw: 'right' },
    ],
  },
  {
    name: 'a read that fails after one that is right',
    lines: ['reading', 'reading', READ_ERROR, 'reading', READ_ERROR],
    reads: [
      { beganMs: 0, saw: 'right' },
      { beganMs: 10, saw: 'ENOTCONN' },
      { beganMs: 30, saw: 'ENOTCONN' },
    ],
  },
  {
    name: 'an error that no errno of ours has',
    lines: ['reading', 'reading', 'read error: read /mnt/f: EUCLEAN'],
    reads: [
      { beganMs: 0, saw: 'right' },
      { beganMs: 10, saw: 'EUCLEAN' },
    ],
  },
]

describe("the reads of a workload's log", () => {
  for (const { name, lines, reads } of CASES) {
    it(`are told apart in ${name}`, () => {
      const seen = readsOf(...lines).reads(0)
      assert.deepEqual(
        seen.map(({ beganMs, saw }) => ({ beganMs, saw })),
        reads,
      )
    })
  }

  it('are counted by what came of them, from a moment on', () => {
    const reads = readsOf('reading', 'reading', READ_ERROR, 'reading', READ_ERROR, 'reading', 'reading')
    assert.equal(describeReads(reads.ended(0)), '2 right, 2 ENOTCONN')
    assert.equal(describeReads(reads.ended(20)), '1 right, 1 ENOTCONN')
    assert.equal(describeReads(reads.ended(1000)), 'no reads')
  })

  it('end with their process', () => {
    const reads = readsOf('reading', 'reading')
    reads.processEnded()
    assert.equal(reads.underWay, undefined)
    assert.equal(describeReads(reads.ended(0)), '1 right')
  })
})
