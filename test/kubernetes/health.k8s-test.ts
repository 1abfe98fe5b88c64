import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { eventually } from '../support/wait.ts'
import { Cluster, type Pod } from './support/cluster.ts'
import { Driver, DRIVER } from './support/driver.ts'
import { ReaderPod } from './support/readers.ts'

/** Of the API server (pkg/apis/core/validation): bytes. */
const LONGEST_MESSAGE = 1024

interface CsiNode {
  readonly status?: { readonly storageHealth?: readonly { readonly healthConditions?: readonly { readonly reason: string }[] }[] }
}

describe('the health that the kubelet writes', { timeout: 1_200_000 }, () => {
  let cluster: Cluster
  let driver: Driver

  before(async () => {
    cluster = await Cluster.start({ gates: ['CSIVolumeHealth'], healthInterval: '3s' })
    driver = new Driver(cluster)
  })

  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  /** The conditions of a pod's volume, each as its status and reason. */
  const conditions = async (pod: string): Promise<readonly string[]> => {
    const { status } = await cluster.get<Pod>('pod', pod)
    return (status.volumeHealth ?? []).flatMap(({ healthConditions = [] }) =>
      healthConditions.map((one) => `${one.status} ${one.reason}`),
    )
  }
  const becomes = async (pod: string, ...expected: readonly string[]): Promise<void> => {
    await eventually(
      `${pod} is ${expected.join(', ') || 'well'}`,
      async () => (await conditions(pod)).join() === expected.join(),
      60_000,
    )
  }
  /** Resolves when the kubelet has asked twice more: what it found by the first of them is written. */
  const asked = async (): Promise<void> => {
    const count = async (): Promise<number> =>
      (await driver.log('plugin', 'nodeplugin')).split('/csi.v1.Node/NodeGetVolumeHealth').length
    const before = await count()
    await eventually('the kubelet has asked twice more', async () => (await count()) >= before + 2, 60_000)
  }

  it('is none for a volume that reads, and Inaccessible for one whose daemon is gone, or hangs', async () => {
    await driver.install()
    await driver.createVolume()
    await ReaderPod.start(cluster)
    await asked()
    assert.deepEqual(await conditions('readers'), [])
    await cluster.enter('sh', '-c', 'kill -STOP $(pgrep -x dummy-fuse)')
    await becomes('readers', 'Inaccessible DaemonHung')
    await cluster.enter('sh', '-c', 'kill -CONT $(pgrep -x dummy-fuse)')
    await becomes('readers')
    await cluster.enter('sh', '-c', 'kill -KILL $(pgrep -x dummy-fuse)')
    await becomes('readers', 'Inaccessible DaemonDead')
    const { status } = await cluster.get<Pod>('pod', 'readers')
    const messages = (status.volumeHealth ?? []).flatMap(({ healthConditions = [] }) =>
      healthConditions.map(({ message }) => message),
    )
    for (const message of messages) {
      assert.ok(Buffer.byteLength(message) <= LONGEST_MESSAGE, message)
      assert.doesNotMatch(message, /process \d+/)
    }
    await driver.deleteVolume('app=readers')
  })

  it('is that of the pod itself, where another pod of the volume has a dead mount', async () => {
    await driver.createVolume()
    await ReaderPod.start(cluster)
    await cluster.kubectl('delete', 'pod', await driver.pod('plugin'))
    await driver.ready()
    await ReaderPod.start(cluster, { name: 'well' })
    await becomes('readers', 'Inaccessible ConsumerStale')
    await asked()
    assert.deepEqual(await conditions('well'), [])
    await driver.deleteVolume('app=readers')
  })

  it('has a consumer whose mount was restored before anybody asked as stale until it is gone', async () => {
    await driver.createVolume()
    const readers = await ReaderPod.start(cluster)
    await cluster.enter('kill', '-KILL', String(await cluster.processOf(await driver.pod('plugin'), 'nodeplugin')))
    await driver.ready()
    await becomes('readers', 'Inaccessible ConsumerStale')
    assert.notDeepEqual(await readers.complaints(), [])
    await cluster.kubectl('delete', 'pod', 'readers', '--wait')
    await ReaderPod.start(cluster)
    await asked()
    assert.deepEqual(await conditions('readers'), [])
    await driver.deleteVolume('app=readers')
  })

  it('has only the pod as stale that has the dead session, where the plugin sees the processes of the node', async () => {
    await driver.install('csi.plugin.hostPID=true')
    await driver.createVolume()
    await ReaderPod.start(cluster)
    await ReaderPod.start(cluster, { name: 'reached', propagation: 'HostToContainer' })
    await cluster.kubectl('delete', 'pod', await driver.pod('plugin'))
    await driver.ready()
    await becomes('readers', 'Inaccessible ConsumerStale')
    await asked()
    assert.deepEqual(await conditions('reached'), [])
    await driver.deleteVolume('app=readers')
    await driver.install()
  })

  it('keeps a pod’s status writable with twelve stale targets', async () => {
    await driver.createVolume()
    const names = Array.from({ length: 12 }, (_, index) => `readers-${index}`)
    for (const name of names) await ReaderPod.start(cluster, { name })
    await cluster.kubectl('delete', 'pod', await driver.pod('plugin'))
    await driver.ready()
    for (const name of names) await becomes(name, 'Inaccessible ConsumerStale')
    // The kubelet writes the status of a pod whole: a message that is too long would keep this one from it.
    await cluster.enter('kill', '-KILL', String(await cluster.processOf('readers-0', 'held')))
    await eventually(
      'the status has the restart',
      async () => {
        const { status } = await cluster.get<Pod>('pod', 'readers-0')
        return status.containerStatuses?.some(({ restartCount }) => restartCount > 0)
      },
      60_000,
    )
    await driver.deleteVolume('app=readers')
  })

  it('of the storage is well while the standby serves, and of a stopped dummy-fused DaemonHung', async () => {
    await driver.install('csi.plugin.fuseHost=service')
    await driver.createVolume()
    const readers = await ReaderPod.start(cluster)
    const storage = async (): Promise<readonly string[]> => {
      const { status } = await cluster.get<CsiNode>('csinode', '127.0.0.1')
      return (status?.storageHealth ?? []).flatMap(({ healthConditions = [] }) => healthConditions.map(({ reason }) => reason))
    }
    // Its keep is stopped too, which would end it.
    await cluster.enter('sh', '-c', 'kill -STOP $(pgrep -x dummy-fuse-keep) $(pgrep -x dummy-fused)')
    await becomes('readers', 'Inaccessible DaemonHung')
    await cluster.enter('sh', '-c', 'kill -CONT $(pgrep -x dummy-fused) $(pgrep -x dummy-fuse-keep)')
    await becomes('readers')
    await cluster.kubectl(
      'patch',
      'daemonset',
      `${DRIVER}-fused`,
      '--patch',
      '{"spec":{"template":{"spec":{"nodeSelector":{"none":"such"}}}}}',
    )
    await eventually('the pod of dummy-fused is gone', async () => (await driver.pods('fused')).length === 0, 120_000)
    await asked()
    assert.deepEqual([await conditions('readers'), await storage()], [[], []])
    await readers.readOn()
    assert.deepEqual(await readers.complaints(), [])
    await cluster.kubectl('rollout', 'undo', `daemonset/${DRIVER}-fused`)
    await driver.ready()
    await driver.deleteVolume('app=readers')
  })
})
