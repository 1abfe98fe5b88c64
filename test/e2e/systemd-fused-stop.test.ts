import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { MachineReader, ReaderSummary } from '../support/c-reader.ts'
import { startReaders } from '../support/chaos.ts'
import { FAILS_AT_ONCE, FusedMachine, FUSED_UNIT, NOTHING_LEFT } from '../support/fused-machine.ts'
import { InstalledPlugin } from '../support/installed-plugin.ts'
import { eventually } from '../support/wait.ts'

/** Ways to end it for good; `killed`: there is no process that could unmount or say anything. */
const STOPPED: Readonly<Record<string, { killed: boolean; act: (fused: FusedMachine) => Promise<unknown> }>> = {
  'systemctl stop': { killed: false, act: async ({ machine }) => await machine.systemctl('stop', FUSED_UNIT) },
  'systemctl stop of its socket': {
    killed: false,
    act: async ({ machine }) => await machine.systemctl('stop', 'dummy-fused.socket'),
  },
  'systemctl stop right after a crash': {
    killed: true,
    act: async (fused) => {
      fused.replaceExecutable(FAILS_AT_ONCE)
      await fused.kill()
      await fused.machine.systemctl('stop', FUSED_UNIT)
    },
  },
}

/** Readers of one volume, with names that begin with a word. */
async function readersOf(fused: FusedMachine, target: string, of: string): Promise<ReadonlyMap<string, MachineReader>> {
  return await startReaders((name, options) => fused.reader(`${of}-${name}`, { ...options, file: `${target}/dummy-file.txt` }))
}

/** Each reader gets ENOTCONN, what waited ECONNABORTED, and no wrong byte. */
async function assertCut(readers: ReadonlyMap<string, MachineReader>): Promise<void> {
  for (const [name, reader] of readers) {
    let last: ReaderSummary | undefined
    await eventually(`${name} gets ENOTCONN`, async () => {
      last = await reader.progress()
      return (last.failed.ENOTCONN ?? 0) > 0
    })
    const { failed, wrong } = await reader.summary()
    const { ENOTCONN: _, ECONNABORTED: waited = 0, ...others } = failed
    assert.deepEqual({ others, wrong, once: waited <= 1 }, { others: {}, wrong: 0, once: true }, `${name}: ${JSON.stringify(last)}`)
  }
}

describe('dummy-fused.service, stopped for good', () => {
  it('tells the users of volumes by ENOTCONN, and unmounts what nobody uses', async (t) => {
    await using fused = await FusedMachine.start()
    const { plugin, machine } = fused
    for (const [at, [way, { killed, act }]] of Object.entries(STOPPED).entries()) {
      await t.test(`tells the users of volumes by ENOTCONN: ${way}`, async () => {
        const seen = (await machine.journal(FUSED_UNIT)).length
        const [used = ''] = await plugin.publish('used', 'pod')
        const readers = await readersOf(fused, used, `reader-${at}`)
        // Published after them: a mount namespace that a reader has got for itself has every mount of that moment.
        await plugin.publish('unused', 'pod')
        await act(fused)
        assert.match(await machine.property(FUSED_UNIT, 'ActiveState'), killed ? /^(failed|inactive)$/ : /^inactive$/)
        await assertCut(readers)
        assert.equal(await fused.stored(), 0)
        await eventually('there is no standby either', () => fused.standby() === undefined)
        const mounts = (await plugin.mounts()).filter((path) => path.includes('unused'))
        if (!killed) {
          const said = (await machine.journal(FUSED_UNIT)).slice(seen)
          assert.match(
            said,
            new RegExp(`${InstalledPlugin.stagingPath('used')} is in use and gets ENOTCONN from now on: .*stopped for good`),
          )
          assert.deepEqual(mounts, [])
          assert.doesNotMatch(said, /unused.* is in use/)
        }

        fused.restoreExecutable()
        await machine.systemctl('start', 'dummy-fused.socket')
        await machine.systemctl('start', FUSED_UNIT)
        for (const volume of ['used', 'unused']) await plugin.unpublish(volume, 'pod')
        assert.deepEqual(await fused.leftovers(), NOTHING_LEFT)
        const [target = ''] = await plugin.publish('used', 'pod')
        assert.equal((await plugin.read(target)).stdout, 'Hello world!\n')
        await plugin.unpublish('used', 'pod')
      })
    }

    await t.test('unmounts every volume that nobody uses, and the plugin mounts them again when it runs', async () => {
      const seen = (await machine.journal(FUSED_UNIT)).length
      const [target = ''] = await plugin.publish('volume', 'one', 'two')
      await machine.systemctl('stop', FUSED_UNIT)
      assert.deepEqual(await plugin.mounts(), [])
      assert.equal(await machine.property(FUSED_UNIT, 'Result'), 'success')
      assert.doesNotMatch((await machine.journal(FUSED_UNIT)).slice(seen), /is in use/)
      await machine.systemctl('start', FUSED_UNIT)
      await machine.systemctl('restart', 'dummy-fuse-csi.service')
      await plugin.restored(target)
      await plugin.unpublish('volume', 'one', 'two')
      assert.deepEqual(await fused.leftovers(), NOTHING_LEFT)
    })
  })
})
