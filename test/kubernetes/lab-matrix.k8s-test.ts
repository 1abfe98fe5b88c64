import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Cluster } from './support/cluster.ts'
import { LabRuns, oddities } from './support/lab-runs.ts'

/** Milliseconds for all cells: each takes up to a minute, and the consumers of three at once are as many as two processors can bear. */
const PATIENCE = 3 * 3_600_000

describe('the whole matrix of the lab on a cluster', () => {
  it('comes out as the model says, and agrees with the bare node or says why not', { timeout: PATIENCE }, async (t) => {
    await using cluster = await Cluster.start()
    const lab = new LabRuns(cluster)
    const { result, record } = await lab.cells(['--jobs', '3'], PATIENCE)
    const { cells, disagreements = [] } = record
    const consumers = cells.reduce((sum, cell) => sum + cell.consumers.length, 0)
    t.diagnostic(`${cells.length} cells with ${consumers} consumers; ${disagreements.length} disagree with the bare node`)
    for (const { failure, mitigation, consumer, why = 'no reason' } of disagreements)
      t.diagnostic(`${failure} under ${mitigation}, ${consumer}: ${why}`)
    assert.deepEqual(oddities(record), [], result.stdout)
    assert.equal(result.status, 0, result.stdout + result.stderr)
    assert.deepEqual(await lab.left(), [])
  })
})
