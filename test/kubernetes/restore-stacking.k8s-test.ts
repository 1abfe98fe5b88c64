import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { eventually } from '../support/wait.ts'
import { Cluster } from './support/cluster.ts'
import { Driver } from './support/driver.ts'
import { ReaderPod } from './support/readers.ts'

/** The reads of the container that opens its file for each one: right, and failed. */
async function reopened(pod: ReaderPod): Promise<{ readonly right: number; readonly failed: number }> {
  const summary = (await pod.progress()).find(({ mode }) => mode === 'reopen')
  assert.ok(summary)
  return { right: summary.right, failed: Object.values(summary.failed).reduce((sum, count) => sum + count, 0) }
}

/** How many mounts lie at each mount point of ours on the node. */
async function layers({ cluster }: Driver): Promise<Readonly<Record<string, number>>> {
  const places = Map.groupBy(await cluster.mounts(), (path) => (path.endsWith('/globalmount') ? 'staging' : path))
  return Object.fromEntries([...places].map(([path, all]) => [path, all.length]))
}

describe('the chart with daemons in the plugin’s container', () => {
  it('heals running pods with HostToContainer at each restart of the plugin', { timeout: 1_800_000 }, async (t) => {
    await using cluster = await Cluster.start()
    const driver = new Driver(cluster)
    await driver.install('csi.plugin.fuseHost=child')
    await driver.createVolume()
    const none = await ReaderPod.start(cluster, { name: 'none' })
    const pods = [await ReaderPod.start(cluster, { name: 'session-1', propagation: 'HostToContainer' })]
    for (const restart of [1, 2, 3]) {
      await cluster.kubectl('delete', 'pod', await driver.pod('plugin'), '--wait', '--timeout=120s')
      await driver.ready()
      for (const pod of pods) {
        const before = await reopened(pod)
        await eventually(`${pod.name} reads again`, async () => (await reopened(pod)).right > before.right + 100)
        assert.deepEqual(await pod.restarts(), [0, 0, 0])
      }
      const before = await reopened(none)
      await eventually('the pod without propagation still fails', async () => (await reopened(none)).failed > before.failed + 100)
      assert.equal((await reopened(none)).right, before.right)
      const { staging, ...targets } = await layers(driver)
      t.diagnostic(`restart ${restart}: ${JSON.stringify({ staging, targets: Object.values(targets) })}`)
      assert.equal(staging, 1)
      // The target of a pod that started after restart n - 1 has one dead mount after restart n, like those of all before.
      assert.deepEqual(
        Object.values(targets),
        Array.from({ length: pods.length + 1 }, () => 2),
      )
      pods.push(await ReaderPod.start(cluster, { name: `session-${restart + 1}`, propagation: 'HostToContainer' }))
    }
    await driver.deleteVolume('app=readers')
    await driver.uninstall()
  })
})
