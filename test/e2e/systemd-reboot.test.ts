import assert from 'node:assert/strict'
import { readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { InstalledPlugin, UNIT } from '../support/installed-plugin.ts'
import type { Machine } from '../support/nspawn.ts'

const ENDS: Readonly<Record<string, (machine: Machine) => Promise<void>>> = {
  'a reboot': (machine) => machine.shutDown(),
  'a power cut': (machine) => machine.cutPower(),
}

describe('dummy-fuse-csi.service over a boot', () => {
  it('mounts the volumes whose directories are still there, and drops the others with a line', async (t) => {
    await using plugin = await InstalledPlugin.start()
    const { machine } = plugin
    for (const [what, end] of Object.entries(ENDS)) {
      await t.test(`after ${what}`, async () => {
        const [kept = '', lost = ''] = await plugin.publish('kept', 'pod-kept', 'pod-lost')
        const [other = ''] = await plugin.publish('lost', 'pod-other')
        await end(machine)
        // What a kubelet clears away of pods that are gone.
        for (const path of [dirname(lost), dirname(other), dirname(InstalledPlugin.stagingPath('lost'))]) {
          rmSync(join(machine.root, path), { recursive: true })
        }
        await machine.boot()

        assert.equal(await machine.property(UNIT, 'ActiveState'), 'active')
        await plugin.restored(kept)
        assert.deepEqual(await plugin.mounts(), [kept, InstalledPlugin.stagingPath('kept')].sort())
        const journal = await machine.journal(UNIT)
        for (const path of [lost, other, InstalledPlugin.stagingPath('lost')]) {
          const lines = journal.split('\n').filter((line) => line.includes(path) && !line.includes('successfully remounted'))
          assert.notEqual(lines.length, 0, `no line about ${path} in:\n${journal}`)
        }
        assert.equal(
          (await machine.run('test', ['-e', dirname(lost)])).status,
          1,
          'nothing has made the directory of the lost pod again',
        )
        const { volumes } = await plugin.status()
        assert.deepEqual(
          volumes.map(({ volumeId, targets }) => ({ volumeId, targets: targets.map(({ path }) => path) })),
          [{ volumeId: 'kept', targets: [kept] }],
        )
        const cache = join(machine.root, 'var/lib/dummy-fuse-csi/mountcache')
        assert.deepEqual(
          ['staged', 'published'].map((kind) => readdirSync(join(cache, kind)).length),
          [1, 1],
        )

        await plugin.unpublish('kept', 'pod-kept')
        assert.deepEqual(await plugin.mounts(), [])
      })
    }
  })
})
