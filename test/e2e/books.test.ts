import assert from 'node:assert/strict'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { outcome } from '../support/csi-client.ts'
import { layersAt, mount, serves } from '../support/mounts.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

/** What keeps a directory from being removed once nothing is mounted on it any more; returns what mends that. */
type Hindrance = (sandbox: Sandbox, directory: string) => () => void

const HINDRANCES: Readonly<Record<string, { readonly hinder: Hindrance; readonly code: string }>> = {
  'files in it': {
    code: 'FAILED_PRECONDITION',
    hinder: (sandbox, directory) => {
      // Without what is mounted in it, it shows what lies on the disk.
      const disk = sandbox.directory(`disk-of-${directory.replaceAll('/', '-')}`)
      mount('--bind', dirname(directory), disk)
      const file = join(disk, directory.slice(dirname(directory).length), 'precious')
      writeFileSync(file, '')
      return () => rmSync(file)
    },
  },
  'a read-only file system': {
    code: 'UNAVAILABLE',
    hinder: (_sandbox, directory) => {
      mount('-o', 'remount,bind,ro', dirname(directory))
      return () => mount('-o', 'remount,bind,rw', dirname(directory))
    },
  },
}

/** A published volume whose target lies on a mount of its own, which can be hindered. */
async function publishedOnItsOwnMount(sandbox: Sandbox, plugin: Plugin): Promise<Volume> {
  const volume = new Volume(sandbox, plugin, 'volume')
  mount('--bind', dirname(volume.target), dirname(volume.target))
  await volume.publish()
  return volume
}

describe('a directory that cannot be removed once its mount is off', () => {
  for (const [what, { hinder, code }] of Object.entries(HINDRANCES)) {
    it(`is no target any more, because of ${what}`, async () => {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox)
      const volume = await publishedOnItsOwnMount(sandbox, plugin)
      const mend = hinder(sandbox, volume.target)
      for (let attempt = 0; attempt < 2; attempt++) {
        const failed = await outcome(volume.unpublish())
        assert.equal(failed.code, code, failed.details)
        assert.ok(failed.details.includes(volume.target))
        assert.deepEqual(layersAt(volume.target), [])
        assert.deepEqual(
          plugin.entries().filter((entry) => entry.startsWith('published/')),
          [],
        )
        assert.deepEqual(await volume.reasons(), [])
      }
      await plugin.kill()
      await plugin.restart()
      assert.ok(await serves(sandbox, volume.staging))
      assert.deepEqual(layersAt(volume.target), [], 'the next plugin has bound it again')
      await volume.unstage()
      assert.deepEqual([...plugin.entries(), ...plugin.daemons()], [])
      await plugin.kill()
      await plugin.restart()
      assert.deepEqual([...layersAt(volume.staging), ...layersAt(volume.target)], [])
      mend()
      await volume.unpublish()
    })

    it(`is removed by the next NodeUnpublishVolume without ${what}, and can be published again`, async () => {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox)
      const volume = await publishedOnItsOwnMount(sandbox, plugin)
      const mend = hinder(sandbox, volume.target)
      assert.equal((await outcome(volume.unpublish())).code, code)
      await volume.publish()
      assert.ok(await serves(sandbox, volume.target))
      assert.equal((await outcome(volume.unpublish())).code, code)
      mend()
      await volume.unpublish()
      assert.ok(!existsSync(volume.target))
      await volume.unstage()
      assert.deepEqual([...plugin.entries(), ...plugin.daemons()], [])
    })

    it(`is no staging path any more, because of ${what}`, async () => {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox)
      const parent = sandbox.directory('made')
      mount('--bind', parent, parent)
      const staging = join(parent, 'staging')
      await plugin.stage('volume', staging, mountCapability())
      const mend = hinder(sandbox, staging)
      for (let attempt = 0; attempt < 2; attempt++) {
        const failed = await outcome(plugin.unstage('volume', staging))
        assert.equal(failed.code, code, failed.details)
        assert.deepEqual([...layersAt(staging), ...plugin.entries(), ...plugin.daemons()], [])
      }
      await plugin.kill()
      await plugin.restart()
      assert.deepEqual(layersAt(staging), [], 'the next plugin has mounted it again')
      await plugin.stage('volume', staging, mountCapability()).catch(() => undefined)
      mend()
      await plugin.unstage('volume', staging)
    })
  }
})
