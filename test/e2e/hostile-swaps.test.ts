import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ATTACKERS, attackPaths, pathsReport } from '../hostile/paths.ts'
import { seedOf } from '../support/random.ts'

/** A small one of scripts/chaos paths. */
const CASES = [
  { mode: 'child', attacker: ATTACKERS[0] },
  { mode: 'service', attacker: ATTACKERS[1] },
] as const

describe('directories that are swapped for symbolic links while volumes are mounted', () => {
  for (const one of CASES) {
    it(`lead nobody outside, with --fuse-host ${one.mode}; links of ${one.attacker}`, { timeout: 200_000 }, async (t) => {
      const seed = seedOf(process.env)
      const tally = await attackPaths({ ...one, seed, calls: 150, workers: 3 })
      const text = pathsReport(`${one.mode}, DUMMY_FUSE_SEED=${seed}`, tally)
      assert.deepEqual(tally.findings, [], text)
      assert.ok(tally.swaps >= 100, text)
      for (const rpc of ['Stage', 'Publish', 'Unpublish', 'Unstage']) assert.ok((tally.codes.get(`${rpc} OK`) ?? 0) > 0, text)
      t.diagnostic(text)
    })
  }
})
