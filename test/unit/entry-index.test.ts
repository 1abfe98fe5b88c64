import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { StagedEntry } from '../../src/volumes/mount-cache-entry.ts'
import { EntryIndex } from '../../src/volumes/entry-index.ts'

function entry(volumeId: string, stagingPath: string): StagedEntry {
  const capability = { accessMode: 'MULTI_NODE_READER_ONLY', fsType: '', mountFlags: [] }
  return { version: 1, kind: 'staged', bootId: 'boot', volumeId, stagingPath, capability, madeDirectory: false }
}

const change = fc.record({
  act: fc.constantFrom('add', 'remove'),
  volume: fc.constantFrom('v', 'w'),
  path: fc.constantFrom('/a', '/b', '/c'),
})

describe('EntryIndex', () => {
  it('finds by path and by volume what a plain list would, whatever was added and removed', () => {
    fc.assert(
      fc.property(fc.array(change), (changes) => {
        const index = new EntryIndex<StagedEntry>()
        let list: StagedEntry[] = []
        for (const { act, volume, path } of changes) {
          const there = list.find(({ stagingPath }) => stagingPath === path)
          if (act === 'remove' && there === undefined) continue
          list = list.filter(({ stagingPath }) => stagingPath !== path)
          if (act === 'remove' && there !== undefined) index.remove(there)
          else {
            const added = entry(volume, path)
            list.push(added)
            index.add(added)
          }
        }
        const sorted = (entries: readonly StagedEntry[]): readonly StagedEntry[] =>
          entries.toSorted((a, b) => a.stagingPath.localeCompare(b.stagingPath))
        assert.deepEqual(sorted(index.all()), sorted(list))
        for (const path of ['/a', '/b', '/c'])
          assert.equal(
            index.at(path),
            list.find(({ stagingPath }) => stagingPath === path),
          )
        for (const id of ['v', 'w']) assert.deepEqual(sorted(index.of(id)), sorted(list.filter(({ volumeId }) => volumeId === id)))
      }),
    )
  })
})
