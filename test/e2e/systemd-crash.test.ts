import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InstalledPlugin, UNIT } from '../support/installed-plugin.ts'
import { eventually } from '../support/wait.ts'

/** Kills the plugin and waits until systemd has started another one that is ready. */
async function crash(plugin: InstalledPlugin, signal = 'KILL'): Promise<void> {
  const { machine } = plugin
  const before = await plugin.mainPid()
  await machine.output('kill', ['-s', signal, String(before)])
  await eventually(
    'another plugin is ready',
    async () => {
      const pid = await plugin.mainPid()
      return pid !== 0 && pid !== before && (await machine.property(UNIT, 'ActiveState')) === 'active'
    },
    30_000,
  )
}

describe('dummy-fuse-csi.service, when the plugin crashes', () => {
  it('is started again and mounts its volumes again, more often than systemd lets a unit crash by default', async (t) => {
    await using plugin = await InstalledPlugin.start()
    const { machine } = plugin
    const targets = await plugin.publish('volume', 'one', 'two')
    const mounted = await plugin.mounts()

    await t.test('mounts its volumes again', async () => {
      assert.equal(await machine.property(UNIT, 'RestartUSec'), '1s')
      await crash(plugin)
      assert.equal(await machine.property(UNIT, 'NRestarts'), '1')
      for (const target of targets) await plugin.restored(target)
      assert.deepEqual(await plugin.mounts(), mounted)
      assert.equal((await plugin.daemons()).length, 1)
      assert.deepEqual(await plugin.call('csi.v1.Identity/Probe'), { ready: true })
    })

    await t.test('is started again after a plain kill as well', async () => {
      await crash(plugin, 'TERM')
      assert.deepEqual(await plugin.call('csi.v1.Identity/Probe'), { ready: true })
    })

    await t.test('outlives more crashes than systemd lets a unit have by default', async () => {
      for (let i = 0; i < 6; i++) await crash(plugin)
      assert.equal(await machine.property(UNIT, 'NRestarts'), '8')
      for (const target of targets) await plugin.restored(target)
      await plugin.unpublish('volume', 'one', 'two')
      assert.deepEqual(await plugin.mounts(), [])
      assert.deepEqual(await plugin.daemons(), [])
    })
  })
})
