import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { stringify } from 'yaml'
import { eventually } from '../support/wait.ts'
import { Cluster, IMAGE, type Pod } from './support/cluster.ts'
import { Driver, DRIVER } from './support/driver.ts'
import { claimSpec, Provisioner } from './support/provisioner.ts'

const GREETING = 'Hello world!\n'

/** Sources of volumes, as a pod has them. */
const onClaim = (claimName: string): object => ({ persistentVolumeClaim: { claimName } })
const inline = (mountOptions: string): object => ({ csi: { driver: DRIVER, volumeAttributes: { mountOptions } } })
const generic = (storageClass: string): object => ({ ephemeral: { volumeClaimTemplate: { spec: claimSpec(storageClass) } } })

function podSpec(sources: readonly object[]): object {
  return {
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: 'main',
        image: IMAGE,
        imagePullPolicy: 'Never',
        command: ['sleep', '1000000'],
        volumeMounts: sources.map((_, index) => ({ name: `v${index}`, mountPath: `/mnt/${index}` })),
      },
    ],
    volumes: sources.map((source, index) => ({ name: `v${index}`, ...source })),
  }
}

interface Report {
  readonly volumes: readonly {
    readonly ephemeral?: boolean
    readonly targets: readonly {
      readonly path: string
      readonly pod?: { readonly namespace: string; readonly name: string; readonly uid: string }
    }[]
  }[]
}

describe('volumes on demand', { timeout: 3_000_000 }, () => {
  let cluster: Cluster
  let driver: Driver
  let provisioner: Provisioner

  before(async () => {
    cluster = await Cluster.start()
    driver = new Driver(cluster)
    provisioner = await Provisioner.install(driver)
    await provisioner.createClass('now')
    await provisioner.createClass('late', { late: true, mountOptions: ['uid=1234', 'umask=007'] })
  })

  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  /** Creates a pod and returns its uid. */
  const createPod = async (name: string, ...sources: readonly object[]): Promise<string> => {
    await cluster.apply(
      stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: name } }, spec: podSpec(sources) }),
    )
    return (await cluster.get<Pod>('pod', name)).metadata.uid
  }

  /** Resolves when a pod reads each of its volumes. */
  const reads = async (name: string, volumes = 1): Promise<void> => {
    const files = Array.from({ length: volumes }, (_, index) => `/mnt/${index}/dummy-file.txt`)
    const all = async (): Promise<boolean> => {
      const { status, stdout } = await cluster.tryKubectl(['exec', name, '--', 'cat', ...files])
      return status === 0 && stdout === GREETING.repeat(volumes)
    }
    try {
      await eventually(`${name} reads`, all, 240_000)
    } catch (error) {
      throw new Error(await cluster.kubectl('describe', 'pod', name), { cause: error })
    }
  }

  /** Starts a pod and resolves to its uid when it reads each of its volumes. */
  const startPod = async (name: string, ...sources: readonly object[]): Promise<string> => {
    const uid = await createPod(name, ...sources)
    await reads(name, sources.length)
    return uid
  }

  const remove = async (kind: string, ...names: readonly string[]): Promise<void> => {
    await cluster.kubectl('delete', kind, ...names, '--wait', '--timeout=170s')
  }

  const report = async (): Promise<Report> => JSON.parse(await driver.status('--json')) as Report

  /** The pods of all targets that `status` shows, as namespace/name uid. */
  const podsOfTargets = async (): Promise<readonly string[]> => {
    const pods = (await report()).volumes.flatMap(({ targets }) => targets.map(({ pod }) => pod))
    return pods.map((pod) => `${pod?.namespace}/${pod?.name} ${pod?.uid}`).sort()
  }

  it('are made at once for a claim, used by two pods, and removed with the claim', async () => {
    await provisioner.createClaim('at-once', 'now')
    await eventually('the claim is bound', async () => (await provisioner.claimPhase('at-once')) === 'Bound', 120_000)
    const uids = [await startPod('one', onClaim('at-once')), await startPod('two', onClaim('at-once'))]
    assert.deepEqual(await podsOfTargets(), [`default/one ${uids[0]}`, `default/two ${uids[1]}`])
    assert.match(await driver.status(), /pod default\/one$/m)
    await remove('pod', 'one', 'two')
    await remove('pvc', 'at-once')
    await provisioner.nothingIsLeft(...uids)
    assert.doesNotMatch(await provisioner.log('csi-provisioner'), /forbidden/)
  })

  it('are made for the first consumer with WaitForFirstConsumer, and have the mount options of the class', async () => {
    await provisioner.createClaim('later', 'late')
    await provisioner.event('PersistentVolumeClaim', 'later', 'WaitForFirstConsumer')
    assert.equal(await provisioner.claimPhase('later'), 'Pending')
    const uid = await startPod('first', onClaim('later'))
    assert.equal(await provisioner.claimPhase('later'), 'Bound')
    assert.equal(await cluster.kubectl('exec', 'first', '--', 'stat', '-c', '%u %a', '/mnt/0/dummy-file.txt'), '1234 770\n')
    await remove('pod', 'first')
    await remove('pvc', 'later')
    await provisioner.nothingIsLeft(uid)
    assert.doesNotMatch(await provisioner.log('csi-provisioner'), /forbidden/)
  })

  it('are refused by an event of the claim that names what is wrong in the class', async () => {
    const wrong = {
      'a-parameter': [{ parameters: { tier: 'gold', writable: 'true' } }, /parameter 'writable' has no effect/],
      'an-option': [{ mountOptions: ['allow_other', 'sparkle'] }, /'sparkle'|sparkle/],
      'a-value': [{ mountOptions: ['writable', 'size=12'] }, /size=12|'size'/],
      reserved: [{ parameters: { 'csi.storage.k8s.io/sparkle': 'bright' } }, /csi\.storage\.k8s\.io\/sparkle/],
    } as const
    for (const [name, [spec, message]] of Object.entries(wrong)) {
      await provisioner.createClass(name, spec)
      await provisioner.createClaim(name, name)
      assert.match(await provisioner.event('PersistentVolumeClaim', name, 'ProvisioningFailed'), message)
      assert.equal(await provisioner.claimPhase(name), 'Pending')
      await remove('pvc', name)
      await remove('storageclass', name)
    }
    await provisioner.nothingIsLeft()
  })

  it('need no attacher, and have one go on that is there', async () => {
    const attacher = cluster.start(
      'csi-attacher',
      `--csi-address=${await provisioner.socket()}`,
      '-v=2',
      `--kubeconfig=${cluster.kubeconfig}`,
    )
    await eventually('the attacher has chosen its handler', () => attacher.output().includes('using trivial handler'), 120_000)
    assert.match(attacher.output(), /does not support ControllerPublishUnpublish, using trivial handler/)
    const attachments = async (): Promise<string> => await cluster.kubectl('get', 'volumeattachments', '-o', 'name')
    await provisioner.createClaim('unattached', 'now')
    const uid = await startPod('plain', onClaim('unattached'))
    assert.equal(await attachments(), '')
    await remove('pod', 'plain')
    // With attachRequired the controllers of Kubernetes want an attachment before the kubelet mounts, and the attacher says at once that it is there.
    const csiDriver = await cluster.kubectl('get', 'csidriver', DRIVER, '-o', 'json')
    const { spec, metadata } = JSON.parse(csiDriver) as { spec: object; metadata: { labels: object; annotations: object } }
    const replace = async (attachRequired: boolean): Promise<void> => {
      await remove('csidriver', DRIVER)
      const { labels, annotations } = metadata
      const head = { apiVersion: 'storage.k8s.io/v1', kind: 'CSIDriver', metadata: { name: DRIVER, labels, annotations } }
      await cluster.apply(stringify({ ...head, spec: { ...spec, attachRequired } }))
    }
    await replace(true)
    const attached = await startPod('attached', onClaim('unattached'))
    assert.match(await attachments(), /^volumeattachment/)
    const status = await cluster.kubectl('get', 'volumeattachments', '-o', 'jsonpath={.items[*].status}')
    assert.match(status, /"attached":true/)
    await remove('pod', 'attached')
    await eventually('the attachment is gone', async () => (await attachments()) === '', 120_000)
    await remove('pvc', 'unattached')
    await replace(false)
    await provisioner.nothingIsLeft(uid, attached)
    await cluster.enter('sh', '-c', 'kill $(pgrep -x csi-attacher)')
    await attacher.ended
  })

  it('are ephemeral in a pod that names the driver itself, one session for each', async () => {
    await cluster.kubectl('apply', '--filename', join(import.meta.dirname, '../../manifests/ephemeral.yaml'))
    const { uid } = (await cluster.get<Pod>('pod', 'dummy-fuse-ephemeral')).metadata
    const uids = [uid, await startPod('inline', inline('umask=022'), inline('writable,size=1m'))]
    await cluster.kubectl('exec', 'inline', '--', 'sh', '-c', 'echo mine > /mnt/1/file')
    const denied = await cluster.tryKubectl(['exec', 'inline', '--', 'sh', '-c', 'echo mine > /mnt/0/file'])
    assert.match(denied.stderr, /Read-only file system/)
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/dummy-fuse-ephemeral', '--timeout=120s')
    const { volumes } = await report()
    assert.deepEqual(
      volumes.map(({ ephemeral, targets }) => [ephemeral, targets.length]),
      [1, 2, 3].map(() => [true, 1]),
    )
    assert.deepEqual(await podsOfTargets(), [
      `default/dummy-fuse-ephemeral ${uids[0]}`,
      `default/inline ${uids[1]}`,
      `default/inline ${uids[1]}`,
    ])
    await remove('pod', 'dummy-fuse-ephemeral', 'inline')
    await provisioner.nothingIsLeft(...uids)
  })

  it('are refused by an event of the pod that names what a pod may not set', async () => {
    const uid = await createPod('refused', inline('writable,size=1g'))
    assert.match(await provisioner.event('Pod', 'refused', 'FailedMount'), /size=1g/)
    await remove('pod', 'refused')
    await provisioner.nothingIsLeft(uid)
  })

  it('are generic ephemeral ones, with a claim that ends with the pod', async () => {
    const uid = await startPod('generic', generic('late'), generic('now'))
    const claims = await cluster.kubectl('get', 'pvc', '-o', 'name')
    assert.equal(claims, 'persistentvolumeclaim/generic-v0\npersistentvolumeclaim/generic-v1\n')
    await remove('pod', 'generic')
    await provisioner.nothingIsLeft(uid)
  })

  it('leave the node when it is drained, and come back with the pods', async () => {
    await provisioner.createClaim('drained', 'now')
    const template = { metadata: { labels: { app: 'drained' } }, spec: podSpec([onClaim('drained'), inline('umask=022')]) }
    const spec = { replicas: 2, selector: { matchLabels: { app: 'drained' } }, template }
    await cluster.apply(stringify({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'drained' }, spec }))
    await cluster.kubectl('rollout', 'status', 'deployment/drained', '--timeout=170s')
    const pods = async (): Promise<readonly Pod[]> => await cluster.list<Pod>('pod', 'app=drained')
    const before = (await pods()).map(({ metadata }) => metadata)
    assert.equal((await report()).volumes.flatMap(({ targets }) => targets).length, 4)
    await cluster.kubectl('drain', '127.0.0.1', '--ignore-daemonsets', '--delete-emptydir-data', '--force', '--timeout=170s')
    await eventually('the node has no mount of ours', async () => (await cluster.mounts()).length === 0, 120_000)
    assert.deepEqual((await report()).volumes, [])
    await cluster.kubectl('uncordon', '127.0.0.1')
    await provisioner.ready()
    await cluster.kubectl('rollout', 'status', 'deployment/drained', '--timeout=170s')
    const now = (await pods()).map(({ metadata }) => metadata)
    for (const { name } of now) await reads(name, 2)
    await remove('deployment', 'drained')
    await cluster.kubectl('wait', '--for=delete', 'pod', '--selector=app=drained', '--timeout=170s')
    await remove('pvc', 'drained')
    await provisioner.nothingIsLeft(...[...before, ...now].map(({ uid }) => uid))
  })

  it('end with pods that are deleted by force', async () => {
    await provisioner.createClaim('forced', 'now')
    const uids = [await startPod('forced', onClaim('forced'), inline('umask=022'), generic('late'))]
    await remove('pod', 'forced', '--force', '--grace-period=0')
    await remove('pvc', 'forced')
    await provisioner.nothingIsLeft(...uids)
  })

  /** Resolves when the kubelet complains about no folder of a pod any more: after the last complaint it has looked through them again. */
  const noOrphans = async (): Promise<void> => {
    const complaints = (): number =>
      cluster.logLines('kubelet', 'rphaned pod').filter((line) => !line.includes('Cleaned up')).length
    for (let round = 0; ; round++) {
      const before = complaints()
      const uid = await startPod('latest', inline('umask=022'))
      await remove('pod', 'latest')
      await provisioner.nothingIsLeft(uid)
      if (complaints() === before) return
      assert.ok(round < 5, cluster.logLines('kubelet', 'rphaned pod').at(-1))
    }
  }

  for (const host of ['child', 'service'] as const) {
    it(`are there again after a power cut, and end with their pods (${host})`, async () => {
      await Provisioner.install(driver, `csi.plugin.fuseHost=${host}`)
      await provisioner.createClaim('cut', 'now')
      const sources = [onClaim('cut'), inline('umask=022'), generic('late')]
      const uid = await startPod('cut', ...sources)
      await cluster.cutPower()
      await provisioner.ready()
      await reads('cut', sources.length)
      assert.equal((await report()).volumes.length, sources.length)
      await remove('pod', 'cut')
      await remove('pvc', 'cut')
      await provisioner.nothingIsLeft(uid)
      await noOrphans()
    })

    it(`end after a power cut if their pods and claims were deleted while the node was away (${host})`, async () => {
      await Provisioner.install(driver, `csi.plugin.fuseHost=${host}`)
      await provisioner.createClaim('lost', 'now')
      const uid = await startPod('lost', onClaim('lost'), inline('umask=022'), generic('late'))
      // For the API server, a node whose kubelet is stopped is away.
      await cluster.enter('sh', '-c', 'kill -STOP $(cat /run/kubelet.pid)')
      await remove('pod', 'lost', '--force', '--grace-period=0')
      await remove('pvc', 'lost')
      await eventually('the volumes are deleted', async () => (await cluster.kubectl('get', 'pv', '-o', 'name')) === '', 120_000)
      // Three staging paths and three targets: for the node, nothing has happened.
      assert.equal((await cluster.mounts()).length, 6)
      await cluster.cutPower()
      await provisioner.ready()
      await provisioner.nothingIsLeft(uid)
      await noOrphans()
    })
  }
})
