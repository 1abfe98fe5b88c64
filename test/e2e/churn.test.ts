import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Churn } from '../churn/churn.ts'
import { report } from '../churn/report.ts'
import type { Mode } from '../churn/sites.ts'
import { seedOf } from '../support/random.ts'

/**
 * Each way of ending with the plugin or outliving it, and each way of sharing a daemon. scripts/chaos has the others too: their programs differ
 * in the command that starts them.
 */
const MODES: readonly Mode[] = ['child', 'detached-shared', 'service']

/** A small one of scripts/chaos. */
const SCALE = { kills: 8, pause: 300, volumes: 8, workers: 6, backoff: 50 }

describe('volumes that are used while the plugin and its daemons are killed at random', () => {
  for (const mode of MODES) {
    it(`end each call well, and leave nothing, with --fuse-host ${mode}`, { timeout: 280_000 }, async (t) => {
      const scale = { ...SCALE, seed: seedOf(process.env) }
      const churn = new Churn(mode, scale)
      await churn.run()
      const text = report(`${mode}, DUMMY_FUSE_SEED=${scale.seed}`, churn)
      assert.deepEqual(churn.tally.findings, [], text)
      const judged = [...churn.tally.statements.values()].reduce((sum, one) => sum + one.judged, 0)
      assert.ok(judged > 0, text)
      assert.ok(churn.tally.lives >= SCALE.volumes && (churn.tally.rounds.get('right') ?? 0) > 0, text)
      t.diagnostic(text)
    })
  }
})
