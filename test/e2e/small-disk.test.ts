import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { layersAt, serves } from '../support/mounts.ts'
import { entriesBelow, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { mountSmallDisk, TROUBLES } from '../support/small-disk.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

/** A plugin, and the small disk that one of its programs has for its state. */
interface Node {
  readonly plugin: Plugin
  readonly disk: string
}

const NODES: readonly { readonly title: string; readonly open: (sandbox: Sandbox) => Promise<Node> }[] = [
  {
    title: 'the plugin’s state folder',
    open: async (sandbox) => {
      const disk = join(sandbox.path, 'csi-state')
      mountSmallDisk(disk)
      return { plugin: await Plugin.start(sandbox), disk }
    },
  },
  {
    title: 'dummy-fused’s state folder',
    open: async (sandbox) => {
      const disk = join(sandbox.path, 'fused-state')
      mountSmallDisk(disk)
      const { socket } = await FusedProcess.start(sandbox)
      return { plugin: await Plugin.start(sandbox, { args: ['--fuse-host', 'service', '--fused-socket', socket] }), disk }
    },
  },
]

/** What the kubelet repeats a call after. */
const REPEATED: readonly string[] = ['RESOURCE_EXHAUSTED', 'UNAVAILABLE']

describe('a disk on which nothing can be written', () => {
  for (const { title, open } of NODES) {
    for (const trouble of TROUBLES) {
      it(`${trouble.title}, with ${title}: calls fail with its path, nothing is half done, and all works again afterwards`, async () => {
        await using sandbox = new Sandbox()
        const { plugin, disk } = await open(sandbox)
        using _ = plugin
        const [old, fresh] = ['old', 'new'].map((id) => new Volume(sandbox, plugin, id)) as [Volume, Volume]
        await old.publish()
        trouble.begin(disk)
        const staged = await outcome(fresh.stage())
        // What a plugin says of a dummy-fused that it calls again and again.
        assert.doesNotMatch(staged.details, /does not serve/)
        assert.ok(REPEATED.includes(staged.code), `${staged.code}: ${staged.details}`)
        assert.ok(staged.details.includes(disk), staged.details)
        assert.deepEqual(layersAt(fresh.staging), [])
        assert.ok(!entriesBelow(plugin.stateDir).some((entry) => entry.includes('new')), 'an entry of a volume that is not staged')
        const pod = old.another('second')
        const published = await outcome(old.publish(pod))
        if (published.code !== 'OK') {
          assert.ok(REPEATED.includes(published.code) && published.details.includes(disk), published.details)
          assert.deepEqual(layersAt(pod), [])
        }
        assert.ok(await serves(sandbox, old.target), 'a volume that was published before')
        const expected = published.code === 'OK' ? '' : 'MountFailed'
        await eventually(`health says: ${expected || 'well'}`, async () => (await old.reasons()).join() === expected)
        await outcome(old.unpublish(pod))
        trouble.end(disk)
        await fresh.publish()
        assert.ok(await serves(sandbox, fresh.target))
        await plugin.stop()
        await plugin.restart()
        assert.ok((await serves(sandbox, fresh.target)) && (await serves(sandbox, old.target)))
        for (const volume of [old, fresh]) {
          await volume.unpublish(volume.another('second'))
          await volume.unpublish()
          await volume.unstage()
        }
        assert.deepEqual(plugin.entries(), [])
      })
    }
  }

  for (const umask of ['000', '777']) {
    it(`a plugin that is started with umask ${umask} keeps its files to itself, and restores its volumes`, async () => {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox, { by: ['sh', '-c', `umask ${umask}; exec "$@"`, 'sh'] })
      const volume = new Volume(sandbox, plugin, 'volume')
      await volume.publish()
      const found = await sandbox.run('find', [sandbox.path, '-xdev', '-perm', '/022', '!', '-type', 'l'])
      assert.equal(found.stdout, '', 'files and folders that others can write')
      await plugin.stop()
      await plugin.restart()
      assert.ok(await serves(sandbox, volume.target))
      await volume.unpublish()
      await volume.unstage()
      assert.deepEqual(plugin.entries(), [])
    })
  }
})
