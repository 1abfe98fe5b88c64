import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { casesToRun } from '../../src/lab/mount-command/cases.ts'

const CASES = ['mounts', 'no-fuse-device', 'mount-refused'].map((name) => ({ name }))

describe('the cases of a mount command that are run', () => {
  for (const [only, run] of [
    [[], ['mounts', 'no-fuse-device', 'mount-refused']],
    [['descriptors'], ['mounts']],
    [
      ['mount-refused', 'messages'],
      ['mounts', 'mount-refused'],
    ],
    // Messages are those of the cases: without one there is nothing to judge.
    [['messages'], ['mounts', 'no-fuse-device', 'mount-refused']],
    [
      ['descriptors', 'messages', 'mounts'],
      ['mounts', 'no-fuse-device', 'mount-refused'],
    ],
  ] as const)
    it(`are ${run.join(', ')} with ${only.length === 0 ? 'no choice' : only.join(', ')}`, () => {
      assert.deepEqual(
        casesToRun(CASES, only).map(({ name }) => name),
        run,
      )
    })
})
