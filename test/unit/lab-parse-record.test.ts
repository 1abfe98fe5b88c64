import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isProgramError } from '../../src/errors.ts'
import type { LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { OUTCOMES } from '../../src/lab/matrix/outcomes.ts'
import { parseRecord } from '../../src/lab/matrix/parse-record.ts'
import { failedCall, sampleRecord, sampleTeardown } from '../fixtures/lab-record.ts'
import { schemaOf } from '../support/type-check.ts'

const problemsWith = schemaOf('src/lab/matrix/lab-record.ts', 'LabRecord')
const SAMPLE = sampleRecord({ lines: 4 })

/** A record with all that is optional. */
const WHOLE = {
  ...SAMPLE,
  node: {
    ...SAMPLE.node,
    cluster: { version: 'v1.37.2', node: 'a', kubelet: 'v1.37.2', runtime: 'containerd://2.4.2', image: 'b' },
  },
  bareNode: { version: '1.0.0', commit: 'abc', kernel: '6.18', startedAt: '2026-01-01T00:00:00.000Z' },
  disagreements: [
    { failure: 'plugin-killed', mitigation: 'none', consumer: 'cwd', cluster: 'works', bareNode: 'errors', why: 'because' },
  ],
  cells: SAMPLE.cells.map((cell) => ({
    ...cell,
    evidence: {
      ...cell.evidence,
      written: [
        { path: '/tmp/a', kind: 'file', size: 1 },
        { path: '/b', kind: 'deleted' },
      ],
      writtenMore: 2,
    },
    teardown: sampleTeardown({
      calls: [failedCall('NodeUnpublishVolume', 'INTERNAL', 'directory not empty')],
      newPod: { saw: 'not started', why: 'ENOTCONN', watchedMs: 9, wroteToNode: false, calls: [] },
    }),
    consumers: cell.consumers.map((one) => ({
      ...one,
      deletedFolder: '/a',
      writes: {
        ways: [{ by: 'fsync', acknowledged: 9, lost: 2, lostBefore: 1, notInStorage: 3, refused: { EIO: 4 }, longestMs: 5 }],
        notReadBack: 'no new pod came',
      },
      alsoExpected: ['waits'],
      bareNode: { modelled: ['works'], seen: 'waits' },
    })),
  })),
}

describe('the record of a run, read again', () => {
  for (const [name, value] of [
    ['the sample', SAMPLE],
    ['one with all that is optional', WHOLE],
  ] as const) {
    it(`is the same: ${name}`, () => {
      const text = JSON.stringify(value)
      const read = parseRecord(text, 'a.json')
      const outcomes = { catalogue: { ...value.catalogue, outcomes: OUTCOMES } }
      assert.deepEqual(read, { ...(JSON.parse(text) as LabRecord), ...outcomes })
      assert.deepEqual(problemsWith(read), [])
    })
  }

  it('has no property that this lab does not know', () => {
    const [cell, ...others] = SAMPLE.cells
    const more = { ...SAMPLE, more: 1, cells: [{ ...cell, more: [1] }, ...others] }
    assert.ok(!('more' in parseRecord(JSON.stringify(more), 'a.json')))
  })

  const [CELL] = SAMPLE.cells
  const WRONG: { name: string; text: string; says: string }[] = [
    { name: 'nothing', text: '', says: 'it is no record of the lab: it is not valid JSON: it ends too early' },
    { name: 'half of it', text: JSON.stringify(SAMPLE).slice(0, 400), says: 'it is not valid JSON at line 1 column 401' },
    { name: 'no JSON', text: '<html>\n', says: 'it is no record of the lab: it is not valid JSON; name' },
    { name: 'a list', text: '[]', says: 'it is no record of the lab: it is not a JSON object' },
    {
      name: 'the first version',
      text: JSON.stringify({ version: 1, scenarios: [] }),
      says: 'it is a record of version 1, and this lab reads version 6',
    },
    {
      name: 'a later version',
      text: JSON.stringify({ ...SAMPLE, version: 7 }),
      says: 'it is a record of version 7, and this lab reads version 6',
    },
    {
      name: 'another object',
      text: '{"name": "x", "version": "1.0.0"}',
      says: 'it is no record of the lab: version "1.0.0" is not 6',
    },
    { name: 'a part less', text: JSON.stringify({ ...SAMPLE, absent: undefined }), says: 'absent is missing' },
    {
      name: 'an outcome that there is not',
      text: JSON.stringify({ ...SAMPLE, cells: [CELL, { ...CELL, consumers: [{ ...CELL?.consumers[0], seen: 'fine' }] }] }),
      says: 'cells.1.consumers.0.seen is not ("works" | ',
    },
    {
      name: 'a time that is none',
      text: JSON.stringify({ ...SAMPLE, cells: [{ ...CELL, tookMs: '1' }] }),
      says: 'cells.0.tookMs is not a number',
    },
  ]
  for (const { name, text, says } of WRONG) {
    it(`is refused with the file and the place: ${name}`, () => {
      assert.throws(
        () => parseRecord(text, 'some/a.json'),
        (error) => {
          assert.ok(isProgramError(error) && error.status === 2)
          assert.ok(error.message.startsWith('some/a.json: ') && error.message.includes(says), error.message)
          assert.ok(error.message.endsWith('; name a file that lab run --json has written'))
          return true
        },
      )
    })
  }
})
