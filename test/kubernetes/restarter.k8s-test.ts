import assert from 'node:assert/strict'
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { EXECUTABLE } from '../support/paths.ts'
import { type Running, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'
import { Cluster, IMAGE } from './support/cluster.ts'
import { CHART, Driver, DRIVER } from './support/driver.ts'

/** The name that the chart gives the restarter's objects in tests, its Lease included. */
const NAME = `${DRIVER}-restarter`
const FINALIZER = 'dummy-fuse-csi.test/held'
/** Busy machines take long for everything. */
const PATIENCE = 120_000

interface Listed {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string }
  readonly reason?: string
  readonly note?: string
  readonly regarding?: { readonly name: string }
}

/** The objects of the namespace `default` that a test of the restarter makes and looks at. */
class Pods {
  readonly cluster: Cluster

  constructor(cluster: Cluster) {
    this.cluster = cluster
  }

  async create(...objects: readonly object[]): Promise<void> {
    await this.cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }))
  }

  async list(resource: string): Promise<readonly Listed[]> {
    return (JSON.parse(await this.cluster.kubectl('get', resource, '--output', 'json')) as { items: readonly Listed[] }).items
  }

  /** A pod that no scheduler places, so that no kubelet writes its status, and that stays after its deletion until {@link release}. */
  async createPod(name: string, { controlled = true } = {}): Promise<void> {
    // No controller acts on it, and the garbage collector finds it.
    const { metadata } = await this.cluster.get<Listed>('configmap', 'owner')
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: metadata.uid, controller: true }
    await this.create({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, labels: { app: name }, finalizers: [FINALIZER], ownerReferences: controlled ? [owner] : [] },
      spec: {
        schedulerName: 'none',
        containers: [{ name: 'main', image: 'localhost/none' }],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'claim' } }],
      },
    })
  }

  /** Writes into a pod's status what the kubelet would. */
  async setHealth(name: string, inaccessible: boolean): Promise<void> {
    const healthConditions = inaccessible ? [{ status: 'Inaccessible', reason: 'DaemonDead', message: 'written by a test' }] : []
    const volumeHealth = [{ name: 'data', lastTransitionTime: new Date().toISOString().replace(/\.\d+/, ''), healthConditions }]
    const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }], volumeHealth }
    const patch = ['--type', 'merge', '--patch', JSON.stringify({ status })]
    await this.cluster.kubectl('patch', 'pod', name, '--subresource', 'status', ...patch)
    const read = await this.cluster.kubectl('get', 'pod', name, '--output', 'jsonpath={.status.volumeHealth}')
    assert.equal(read.includes('DaemonDead'), inaccessible, read)
  }

  async release(name: string): Promise<void> {
    await this.cluster.kubectl('patch', 'pod', name, '--type', 'merge', '--patch', '{"metadata":{"finalizers":null}}')
  }

  async ending(): Promise<readonly string[]> {
    const pods = await this.list('pods')
    return pods
      .filter(({ metadata }) => metadata.deletionTimestamp !== undefined)
      .map(({ metadata }) => metadata.name)
      .toSorted()
  }

  /** Resolves when these pods are told to end, and fails if others are. */
  async evicted(...names: readonly string[]): Promise<void> {
    const all = async (): Promise<boolean> => {
      const ending = await this.ending()
      return names.every((name) => ending.includes(name))
    }
    await eventually(`${names.join()} are evicted`, all, PATIENCE)
    assert.deepEqual(await this.ending(), names.toSorted())
  }

  async eventOf(name: string, reason: string): Promise<Listed> {
    return await eventually(
      `event ${reason} of ${name}`,
      async () => {
        const events = await this.list('events.events.k8s.io')
        return events.find((event) => event.reason === reason && event.regarding?.name === name)
      },
      PATIENCE,
    )
  }

  async lease(): Promise<string> {
    return (await this.cluster.tryKubectl(['get', 'lease', NAME, '--output', 'json'])).stdout
  }
}

/** A kubeconfig of the service account that the chart makes, with the rights that the chart gives and no others. */
async function kubeconfigOfChart(cluster: Cluster): Promise<string> {
  // A Helm that was built from a module knows no version of Kubernetes.
  const set = ['--kube-version', '1.37.0', '--set', 'restarter.enabled=true', '--show-only', 'templates/restarter.yaml']
  const made = await cluster.tryHelm('helm', ['template', DRIVER, CHART, '--namespace', 'default', ...set])
  assert.equal(made.status, 0, made.stderr)
  const rights = made.stdout.split(/^---$/m).filter((text) => !/^kind: Deployment$/m.test(text))
  await cluster.apply(rights.join('---\n'))
  const token = (await cluster.kubectl('create', 'token', NAME, '--duration', '1h')).trim()
  const path = join(cluster.sandbox.path, 'service-account.conf')
  copyFileSync(cluster.kubeconfig, path)
  await cluster.kubectl('config', '--kubeconfig', path, 'set-credentials', 'chart', '--token', token)
  await cluster.kubectl('config', '--kubeconfig', path, 'set-context', '--current', '--user', 'chart')
  return path
}

describe('dummy-fuse-csi restarter at a real API server', { timeout: 1_800_000 }, () => {
  let cluster: Cluster
  let pods: Pods
  let kubeconfig = ''

  before(async () => {
    cluster = await Cluster.start({ gates: ['CSIVolumeHealth'] })
    pods = new Pods(cluster)
    await pods.create(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owner' } },
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: 'volume' },
        spec: {
          accessModes: ['ReadWriteMany'],
          capacity: { storage: '1Gi' },
          persistentVolumeReclaimPolicy: 'Retain',
          csi: { driver: DRIVER, volumeHandle: 'volume' },
        },
      },
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'claim' },
        spec: {
          accessModes: ['ReadWriteMany'],
          resources: { requests: { storage: '1Gi' } },
          volumeName: 'volume',
          storageClassName: '',
        },
      },
    )
    kubeconfig = await kubeconfigOfChart(cluster)
  })

  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  const start = (sandbox: Sandbox, ...args: readonly string[]): Running => {
    const given = ['--kubeconfig', kubeconfig, '--lease-namespace', 'default', '--lease-name', NAME]
    // The evictions of one test are in the lease of the next.
    return sandbox.start(EXECUTABLE, ['restarter', ...given, '--grace-period', '3', '--max-at-once', '9', ...args])
  }

  it('evicts one pod after the other with the rights of the chart, and writes events', async () => {
    await using sandbox = new Sandbox()
    for (const name of ['one', 'two', 'well']) await pods.createPod(name)
    await pods.setHealth('one', true)
    const running = start(sandbox, '--max-at-once', '1')
    await pods.evicted('one')
    const { note } = await pods.eventOf('one', 'EvictedInaccessibleVolume')
    assert.match(note ?? '', /volume data \(claim claim\) has been inaccessible for \d+ s: DaemonDead; ConfigMap owner replaces it/)
    await pods.setHealth('two', true)
    const { metadata } = (await pods.list('pods')).find((pod) => pod.metadata.name === 'one') ?? assert.fail('one is gone')
    assert.ok((await pods.lease()).includes(metadata.uid))
    assert.deepEqual(await pods.ending(), ['one'])
    await pods.release('one')
    await pods.createPod('again')
    await pods.setHealth('again', false)
    await pods.evicted('two')
    await pods.release('two')
    running.child.kill('SIGTERM')
    const { status, stderr } = await running.ended
    assert.equal(status, 0, stderr)
    assert.match(stderr, /The lease is given back/)
    assert.doesNotMatch(stderr, /cannot/)
  })

  it('leaves a pod that a budget protects until the budget is gone, and evicts another meanwhile', async () => {
    await using sandbox = new Sandbox()
    for (const name of ['protected', 'free']) await pods.createPod(name)
    await pods.create({
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'budget' },
      spec: { minAvailable: 1, selector: { matchLabels: { app: 'protected' } } },
    })
    await pods.setHealth('protected', true)
    start(sandbox)
    await pods.eventOf('protected', 'EvictionRefusedByBudget')
    await pods.setHealth('free', true)
    await pods.evicted('free')
    await pods.release('free')
    await cluster.kubectl('delete', 'poddisruptionbudget', 'budget')
    await pods.evicted('protected')
    await pods.release('protected')
  })

  it('names a pod without a controller, and evicts it only if it is told to', async () => {
    await using sandbox = new Sandbox()
    await pods.createPod('bare', { controlled: false })
    await pods.setHealth('bare', true)
    const running = start(sandbox)
    await pods.eventOf('bare', 'NotEvictedNoController')
    assert.deepEqual(await pods.ending(), [])
    running.child.kill('SIGTERM')
    await running.ended
    start(sandbox, '--evict-bare-pods')
    await pods.evicted('bare')
    await pods.release('bare')
  })

  it('does not evict a pod that reads well again within the grace period, nor one that opts out', async () => {
    await using sandbox = new Sandbox()
    for (const name of ['healed', 'kept', 'broken']) await pods.createPod(name)
    await cluster.kubectl('label', 'pod', 'kept', 'dummy-fuse-csi/evict=false')
    const running = start(sandbox, '--grace-period', '15', '--max-at-once', '9')
    await eventually('it leads', () => running.output().includes('Leading as'), PATIENCE)
    await pods.setHealth('healed', true)
    await pods.setHealth('healed', false)
    await pods.setHealth('kept', true)
    await pods.setHealth('broken', true)
    await pods.evicted('broken')
    await pods.release('broken')
    await pods.setHealth('kept', false)
  })

  it('is followed by another when it is killed, which waits until the lease is free', async () => {
    await using sandbox = new Sandbox()
    await pods.createPod('orphan')
    const first = start(sandbox)
    await eventually('a leader', () => first.output().includes('Leading as'), PATIENCE)
    const second = start(sandbox)
    await eventually('it waits', () => second.output().includes('Waiting for the lease'), PATIENCE)
    first.child.kill('SIGKILL')
    await first.ended
    await eventually('the second leads', () => second.output().includes('Leading as'), PATIENCE)
    await pods.setHealth('orphan', true)
    await pods.evicted('orphan')
    await pods.release('orphan')
  })
})

describe('the restarter of the chart', { timeout: 1_800_000 }, () => {
  let cluster: Cluster
  let driver: Driver

  before(async () => {
    cluster = await Cluster.start({ gates: ['CSIVolumeHealth'], healthInterval: '5s' })
    driver = new Driver(cluster)
  })

  after(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  it('brings a workload back that cannot help itself, after its plugin was killed and has restored its mounts', async () => {
    // The node of the tests has no service network: a pod reaches the API server by the node's own.
    const server = new URL(
      await cluster.kubectl('config', 'view', '--minify', '--output', 'jsonpath={.clusters[0].cluster.server}'),
    )
    const values = {
      restarter: {
        enabled: true,
        gracePeriodSeconds: 5,
        hostNetwork: true,
        extraEnv: [
          { name: 'KUBERNETES_SERVICE_HOST', value: server.hostname },
          { name: 'KUBERNETES_SERVICE_PORT', value: server.port },
        ],
      },
    }
    const file = join(cluster.sandbox.path, 'values.json')
    writeFileSync(file, JSON.stringify(values))
    await cluster.helm('upgrade', '--install', DRIVER, CHART, '--values', file)
    await driver.ready()
    await cluster.kubectl('rollout', 'status', `deployment/${NAME}`, '--timeout=170s')
    await driver.createVolume()
    await cluster.apply(JSON.stringify(workload()))
    const podOf = async (): Promise<string | undefined> => {
      const pods = await cluster.list<Listed>('pod', 'app=stubborn')
      return pods.find(({ metadata }) => metadata.deletionTimestamp === undefined)?.metadata.name
    }
    const reads = async (name: string): Promise<boolean> =>
      (await cluster.tryKubectl(['exec', name, '--', 'cat', '/mnt/dummy-file.txt'])).status === 0
    const first = await eventually(
      'the workload reads',
      async () => {
        const name = await podOf()
        return name !== undefined && (await reads(name)) ? name : undefined
      },
      PATIENCE,
    )
    const plugin = await driver.pod('plugin')
    await cluster.enter('kill', '-KILL', String(await cluster.processOf(plugin, 'nodeplugin')))
    await eventually('the workload reads no more', async () => !(await reads(first)), PATIENCE)
    const second = await eventually(
      'another pod of the workload reads',
      async () => {
        const name = await podOf()
        return name !== undefined && name !== first && (await reads(name)) ? name : undefined
      },
      300_000,
    )
    assert.notEqual(second, first)
    const { note } = await new Pods(cluster).eventOf(first, 'EvictedInaccessibleVolume')
    assert.match(note ?? '', /^Evicted: volume volume \(claim dummy-fuse-pvc\) has been inaccessible for \d+ s: \w+.*; ReplicaSet /)
    await cluster.kubectl('delete', 'deployment', 'stubborn')
    await driver.deleteVolume('app=stubborn')
    await driver.uninstall()
  })
})

/** A Deployment whose pods go on after errors, so that no kubelet starts them again. */
function workload(): object {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'stubborn' },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: 'stubborn' } },
      template: {
        metadata: { labels: { app: 'stubborn' } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: 'workload',
              image: IMAGE,
              imagePullPolicy: 'IfNotPresent',
              command: ['dummy-fuse-workload', '--file=/mnt/dummy-file.txt', '--keep-open'],
              volumeMounts: [{ name: 'volume', mountPath: '/mnt' }],
            },
          ],
          volumes: [{ name: 'volume', persistentVolumeClaim: { claimName: 'dummy-fuse-pvc' } }],
        },
      },
    },
  }
}
