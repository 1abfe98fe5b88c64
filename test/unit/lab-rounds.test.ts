import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { LogLine } from '../../src/lab/scenario-record.ts'
import { describeRounds, roundsOf } from '../../src/lab/rounds.ts'

/** A workload's log, a line every 10 ms. */
function log(...lines: string[]): LogLine[] {
  return lines.map((line, index) => ({ atMs: index * 10, line: `2021/04/16 13:36:21 ${line}` }))
}

const DEAD = 'transport endpoint is not connected'
const READ_ERROR = `read error: read /mnt/f: ${DEAD}`
const OPEN_ERROR = `open error: open /mnt/f: ${DEAD}`

const CASES: { name: string; lines: LogLine[]; rounds: { atMs: number; error: string }[] }[] = [
  { name: 'an empty log', lines: [], rounds: [] },
  { name: 'a round that has only begun', lines: log('opened file /mnt/f', 'reading'), rounds: [] },
  {
    name: 'reads through one descriptor',
    lines: log('opened file /mnt/f', 'reading', 'reading', 'reading'),
    rounds: [
      { atMs: 10, error: '' },
      { atMs: 20, error: '' },
    ],
  },
  {
    name: 'a file opened for each read',
    lines: log('opened file /mnt/f', 'reading', 'opened file /mnt/f', 'reading', 'opened file /mnt/f'),
    rounds: [
      { atMs: 10, error: '' },
      { atMs: 30, error: '' },
    ],
  },
  {
    name: 'a read that fails after one that is right',
    lines: log('reading', 'reading', READ_ERROR, 'reading', READ_ERROR),
    rounds: [
      { atMs: 0, error: '' },
      { atMs: 10, error: `read /mnt/f: ${DEAD}` },
      { atMs: 30, error: `read /mnt/f: ${DEAD}` },
    ],
  },
  {
    name: 'a right read before a failing open',
    lines: log('reading', OPEN_ERROR),
    rounds: [
      { atMs: 0, error: '' },
      { atMs: 10, error: `open /mnt/f: ${DEAD}` },
    ],
  },
]

describe("the rounds of a workload's log", () => {
  for (const { name, lines, rounds } of CASES) {
    it(`are told apart in ${name}`, () => {
      assert.deepEqual(roundsOf(lines), rounds)
    })
  }

  it('are counted by what came of them, from a moment on', () => {
    const lines = log('reading', 'reading', READ_ERROR, 'reading', READ_ERROR, 'reading', 'reading')
    assert.equal(describeRounds(lines, 0), `2 rounds right, 2 rounds failed: read /mnt/f: ${DEAD}`)
    assert.equal(describeRounds(lines, 20), `1 round failed: read /mnt/f: ${DEAD}, 1 round right`)
    assert.equal(describeRounds(lines, 1000), 'no rounds')
  })
})
