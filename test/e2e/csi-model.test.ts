import { describe, it } from 'node:test'
import fc from 'fast-check'
import { commands } from '../model/commands.ts'
import { MODES, startHosted } from '../model/hosts.ts'
import { Model } from '../model/model.ts'
import { RealNode } from '../model/node.ts'
import { seedOf } from '../support/random.ts'
import { Sandbox } from '../support/sandbox.ts'

/** DUMMY_FUSE_MODEL_RUNS: sequences of each host mode. DUMMY_FUSE_SEED repeats another run. */
const RUNS = Number(process.env.DUMMY_FUSE_MODEL_RUNS ?? 1)

/** Calls and crashes of one sequence. */
const LONGEST = 25

describe('any sequence of calls and crashes is answered, and leaves the mount table, as the model has it', () => {
  for (const mode of MODES) {
    it(mode, { timeout: 290_000 + RUNS * 10_000 }, async (t) => {
      await using sandbox = new Sandbox()
      const { plugin, host, outlivesPlugin, daemonLoss } = await startHosted(mode, sandbox)
      using _ = plugin
      let run = 0
      const property = fc.asyncProperty(commands(daemonLoss, LONGEST), async (sequence) => {
        const model = new Model(outlivesPlugin, daemonLoss === 'all')
        const node = new RealNode(sandbox, plugin, host, `run${++run}`)
        try {
          await fc.asyncModelRun(() => ({ model, real: node }), sequence)
          await node.clear(model)
        } catch (error) {
          await node.reset()
          throw error
        }
      })
      await fc.assert(property, { numRuns: RUNS, plugins: [fc.interruptAfterTimeLimit(250_000)], seed: seedOf(process.env) })
      t.diagnostic(`${run} sequences`)
    })
  }
})
