import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cell, ConsumerResult, LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { programTable } from '../programs/table.ts'

type Seen = ConsumerResult['seen']

function cell(failure: string, mitigation: string, verdict: Cell['verdict'], ...seen: readonly Seen[]): Cell {
  const consumers = seen.map((outcome, at) => ({ seen: outcome, firstRightAfterFailureMs: outcome === 'errors' ? null : at * 440 }))
  return { failure, mitigation, verdict, consumers } as unknown as Cell
}

function record(...cells: readonly Cell[]): LabRecord {
  return { cells } as unknown as LabRecord
}

void test('the table of the programs has a row for each failure, and counts who met no error and who reads right at the end', () => {
  const records = new Map([
    [
      'one',
      record(
        cell('killed', 'as-is', 'measured', 'works', 'waits', 'starts-late', 'recovers', 'restarted', 'writes-to-host-recovers'),
        cell('hung', 'as-is', 'not-run'),
        cell('killed', 'health', 'measured', 'works'),
      ),
    ],
    ['other', record(cell('killed', 'as-is', 'measured', 'errors', 'never-starts', 'hangs', 'writes-to-host', 'works'))],
  ])
  assert.equal(
    programTable(records),
    [
      'Under `as-is`:',
      '',
      '| failure | one | other |',
      '| --- | --- | --- |',
      '| `killed` | 3, 6 / 6, 2.2 s | 1, 1 / 5 |',
      '| `hung` | not run | – |',
      '',
      'Under `health`:',
      '',
      '| failure | one | other |',
      '| --- | --- | --- |',
      '| `killed` | 1, 1 / 1 | – |',
    ].join('\n'),
  )
})
