import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GREETING } from '../support/mounts.ts'
import { eventually } from '../support/wait.ts'
import { Cluster, IMAGE, type Pod } from './support/cluster.ts'
import { Driver } from './support/driver.ts'
import { claimPod, ReaderPod } from './support/readers.ts'

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

/** A pod whose container has one file of the volume by a subPath, and ends when it cannot read it. */
function subPathPod(name: string): string {
  return claimPod(name, [
    {
      name: 'reader',
      image: IMAGE,
      imagePullPolicy: 'Never',
      command: ['sh', '-c', 'while cat /file; do sleep 1; done'],
      volumeMounts: [{ name: 'volume', mountPath: '/file', subPath: 'dummy-file.txt' }],
    },
  ])
}

/** Whether the container of {@link subPathPod} runs, has been started again more than `restarts` times, and has read its file since. */
async function readsAgain(cluster: Cluster, name: string, restarts: number): Promise<boolean> {
  const { status } = await cluster.get<Pod>('pod', name)
  const [container] = status.containerStatuses ?? []
  if (container === undefined || !container.ready || container.restartCount <= restarts) return false
  const { status: exit, stdout } = await cluster.tryKubectl(['logs', name])
  return exit === 0 && stdout.includes(GREETING)
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

  for (const mode of ['stack', 'replace']) {
    it(`starts a container with a subPath again after a restart of the plugin: ${mode}`, { timeout: 900_000 }, async (t) => {
      await using cluster = await Cluster.start()
      const driver = new Driver(cluster)
      await driver.install('csi.plugin.fuseHost=child', `csi.plugin.restoreMode=${mode}`)
      await driver.createVolume()
      await cluster.apply(subPathPod('part'))
      await eventually('the container reads', async () => await readsAgain(cluster, 'part', -1), 120_000)
      for (const restart of [1, 2]) {
        const { status } = await cluster.get<Pod>('pod', 'part')
        const restarts = status.containerStatuses?.[0]?.restartCount ?? 0
        await cluster.kubectl('delete', 'pod', await driver.pod('plugin'), '--wait', '--timeout=120s')
        await driver.ready()
        const begun = Date.now()
        try {
          await eventually('the container reads again', async () => await readsAgain(cluster, 'part', restarts), 120_000)
        } catch (error) {
          throw new Error(await cluster.kubectl('describe', 'pod', 'part'), { cause: error })
        }
        t.diagnostic(`restart ${restart}: reads again ${Date.now() - begun} ms after the plugin is registered`)
      }
      await driver.deleteVolume('app=readers')
      await driver.uninstall()
    })
  }
})
