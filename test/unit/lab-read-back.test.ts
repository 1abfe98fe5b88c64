import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type FoundRecords, type ReadBack, recordsStored, withWrites } from '../../src/lab/cell/read-back.ts'
import { WriteLog } from '../../src/lab/cell/write-log.ts'
import type { ConsumerResult } from '../../src/lab/matrix/lab-record.ts'
import { sampleRecord } from '../fixtures/lab-record.ts'
import { Sandbox } from '../support/sandbox.ts'

const [FIRST] = sampleRecord().cells.flatMap(({ consumers }) => consumers)
if (FIRST === undefined) throw new Error('the sample has no consumer')
const RESULT: ConsumerResult = { ...FIRST, seen: 'recovers' }

/** Ten records in each way, the last of which took long; two of fsync were refused before the failure. */
function log(): WriteLog {
  const writes = new WriteLog()
  for (const by of ['write', 'fsync', 'close'] as const)
    for (let number = 0; number < 10; number++)
      writes.acknowledge(`of-${by}`, { by, atMs: number * 100, tookMs: number === 9 ? 40 : 3 })
  for (const atMs of [1, 2]) writes.refuse({ by: 'fsync', atMs, tookMs: 900, refused: 'EIO' })
  return writes
}

function back(found: FoundRecords, more: Partial<ReadBack> = {}): ConsumerResult {
  return withWrites(RESULT, log(), 500, { found, newPod: { saw: 'right' }, stored: undefined, ...more })
}

const ALL: FoundRecords = new Map(['of-write', 'of-fsync', 'of-close'].map((file) => [file, [[0, 9]]]))

describe('what came of acknowledged writes', () => {
  it('is nothing where all are found, and the outcome stays', () => {
    const { seen, writes } = back(ALL)
    assert.equal(seen, 'recovers')
    const way = { acknowledged: 10, lost: 0, lostBefore: 0, refused: {}, longestMs: 40 }
    assert.deepEqual(writes, {
      ways: [
        { by: 'write', ...way },
        { by: 'fsync', ...way, refused: { EIO: 2 } },
        { by: 'close', ...way },
      ],
    })
  })

  it('is nothing for a consumer that wrote nothing', () => {
    assert.equal(withWrites(RESULT, new WriteLog(), 0, { found: ALL, newPod: undefined, stored: ALL }), RESULT)
  })

  for (const [file, seen] of [
    ['of-write', 'loses-unsynced'],
    ['of-close', 'loses-unsynced'],
    ['of-fsync', 'loses-synced'],
  ] as const)
    it(`is a loss, named by what had acknowledged it: ${file}`, () => {
      const result = back(
        new Map([
          ...ALL,
          [
            file,
            [
              [0, 2],
              [5, 5],
            ],
          ],
        ]),
      )
      assert.equal(result.seen, seen)
      assert.deepEqual(
        result.writes?.ways.filter(({ lost }) => lost > 0).map(({ by, lost, lostBefore }) => [`of-${by}`, lost, lostBefore]),
        [[file, 6, 2]],
      )
    })

  it('is not known where a file was not read back, with the reason', () => {
    const none: FoundRecords = new Map()
    const EXPECTED: readonly (readonly [FoundRecords, ReadBack['newPod'], string])[] = [
      [none, undefined, 'no new pod came'],
      [none, { saw: 'not started' }, 'the new pod could not be started'],
      [none, { saw: 'ENOTCONN' }, 'the last read of the new pod: ENOTCONN'],
      [new Map([...ALL, ['of-close', 'EIO']]), { saw: 'right' }, 'the new pod cannot read of-close: EIO'],
    ]
    for (const [found, newPod, why] of EXPECTED) {
      const { seen, writes } = back(found, { newPod })
      assert.deepEqual([seen, writes?.notReadBack], ['recovers', why])
    }
  })

  it('is told beside of the storage itself, which may have less than a pod reads', async () => {
    await using sandbox = new Sandbox()
    mkdirSync(join(sandbox.path, 'of-fsync'))
    const stored = await recordsStored(sandbox.path, log().files)
    assert.deepEqual([...stored.values()], [[], 'EISDIR', []])
    const { seen, writes } = back(ALL, { stored })
    assert.deepEqual([seen, writes?.ways.map(({ notInStorage }) => notInStorage)], ['recovers', [10, 0, 10]])
  })
})
