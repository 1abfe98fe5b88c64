import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { deletedFolderIn } from '../../src/lab/cell/evidence.ts'
import type { Cell, LabRecord, Written } from '../../src/lab/matrix/lab-record.ts'
import { writtenIn, writtenMarkdown, writtenSection } from '../../src/lab/report/written.ts'
import { sampleRecord } from '../fixtures/lab-record.ts'

const SAMPLE = sampleRecord({ lines: 4 })

/** A run whose cells have written this. */
function run(cells: readonly (readonly Written[] | undefined)[], writtenMore = 0): LabRecord {
  const [cell] = SAMPLE.cells
  assert.ok(cell !== undefined)
  return {
    ...SAMPLE,
    cells: cells.map((written): Cell =>
      written === undefined ? cell : { ...cell, evidence: { ...cell.evidence, written: [...written], writtenMore } },
    ),
  }
}

const file = (path: string, size: number): Written => ({ path, kind: 'file', size })

describe('what a driver has written outside of its state', () => {
  it('is a line for each path of a run, with the largest size and the number of cells', () => {
    const record = run([
      [file('/tmp/b', 2), file('/tmp/a', 1)],
      [file('/tmp/b', 4000), { path: '/etc/c', kind: 'deleted' }],
      undefined,
    ])
    assert.deepEqual(writtenIn(record), {
      lines: ['/etc/c (deleted; 1 cell)', '/tmp/a (file, 1 byte; 1 cell)', '/tmp/b (file, 4,000 bytes; 2 cells)'],
      more: 0,
      cells: 2,
    })
  })

  it('is shortened where it is much', () => {
    const many = Array.from({ length: 20 }, (_, index) => file(`/tmp/${String(index)}`, 0))
    const { lines, more } = writtenIn(run([many], 100)) ?? {}
    assert.deepEqual([lines?.length, more], [12, 108])
    assert.match(writtenMarkdown(run([many], 100)), /^- 108 more; the JSON record has them/m)
  })

  it('is said to be nothing where it was looked for, and not spoken of elsewhere', () => {
    assert.equal(writtenMarkdown(run([[]])), 'Written outside of its state: nothing, in 1 cell.\n')
    assert.equal(writtenMarkdown(SAMPLE), '')
    assert.equal(writtenSection(SAMPLE), false)
  })
})

describe('a deleted folder', () => {
  const line = (id: number, root: string, at: string): string => `${id} 1 0:42 ${root} ${at} rw - tmpfs dummy-fuse-lab rw`

  it('is found by the mount that shows it', () => {
    assert.equal(deletedFolderIn([line(5, '/pods/a', '/mnt'), line(6, '/staging//deleted', '/mnt/mount')]), '/staging')
  })

  it('is none where another mount is on top of it, or where a folder has such a name', () => {
    assert.equal(deletedFolderIn([line(5, '/staging//deleted', '/mnt'), line(6, '/', '/mnt')]), undefined)
    assert.equal(deletedFolderIn([line(5, '/staging/deleted', '/mnt')]), undefined)
    assert.equal(deletedFolderIn([]), undefined)
  })
})
