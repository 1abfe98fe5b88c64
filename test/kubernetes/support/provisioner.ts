import assert from 'node:assert/strict'
import { stringify } from 'yaml'
import { eventually } from '../../support/wait.ts'
import type { Cluster } from './cluster.ts'
import { CHART, type Driver, DRIVER } from './driver.ts'

const NAME = `${DRIVER}-provisioner`

/** The image that the chart names by default. */
const IMAGE = 'registry.k8s.io/sig-storage/csi-provisioner:v6.4.0'

/** Milliseconds until the provisioner and the kubelet have cleaned up; after a power cut the kubelet waits up to two minutes between its attempts. */
const PATIENCE = 400_000

/** What a StorageClass says beside its name. */
export interface Class {
  readonly late?: boolean
  readonly mountOptions?: readonly string[]
  readonly parameters?: Readonly<Record<string, string>>
}

/** Volumes on demand: the external-provisioner beside the Controller service, as the chart installs them. */
export class Provisioner {
  readonly #driver: Driver
  readonly #cluster: Cluster

  private constructor(driver: Driver) {
    this.#driver = driver
    this.#cluster = driver.cluster
  }

  /** Installs the driver with the provisioner, or upgrades to the values, and resolves when both are ready. */
  static async install(driver: Driver, ...values: readonly string[]): Promise<Provisioner> {
    const { cluster } = driver
    await cluster.loadProgram(IMAGE, 'csi-provisioner')
    const { hostname, port } = new URL(await cluster.kubectl('config', 'view', '-o', 'jsonpath={.clusters[0].cluster.server}'))
    // A pod of the node has no way to the API server but the node's own network.
    const json = {
      enabled: true,
      hostNetwork: true,
      extraEnv: [
        { name: 'KUBERNETES_SERVICE_HOST', value: hostname },
        { name: 'KUBERNETES_SERVICE_PORT', value: port },
      ],
    }
    const set = values.flatMap((value) => ['--set', value])
    const provisioner = ['--set-json', `csi.provisioner=${JSON.stringify(json)}`]
    await cluster.helm('upgrade', '--install', '--reset-values', DRIVER, CHART, ...provisioner, ...set)
    const installed = new Provisioner(driver)
    await installed.ready()
    return installed
  }

  /** Resolves when the driver is ready, and the provisioner's pod. */
  async ready(): Promise<void> {
    await this.#driver.ready()
    await this.#cluster.kubectl('rollout', 'status', `deployment/${NAME}`, '--timeout=170s')
  }

  /** The log of a container of its pod. */
  async log(container: 'controller' | 'csi-provisioner'): Promise<string> {
    return await this.#cluster.kubectl('logs', `deployment/${NAME}`, '--container', container)
  }

  /** The Controller service's socket as the node sees it. */
  async socket(): Promise<string> {
    const [pod] = await this.#cluster.list<{ readonly metadata: { readonly uid: string } }>(
      'pod',
      'app.kubernetes.io/component=provisioner',
    )
    assert.ok(pod)
    return `/var/lib/kubelet/pods/${pod.metadata.uid}/volumes/kubernetes.io~empty-dir/csi/csi.sock`
  }

  async createClass(name: string, { late = false, mountOptions = [], parameters = {} }: Class = {}): Promise<void> {
    const volumeBindingMode = late ? 'WaitForFirstConsumer' : 'Immediate'
    const object = { apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', metadata: { name }, provisioner: DRIVER }
    await this.#cluster.apply(stringify({ ...object, volumeBindingMode, mountOptions, parameters }))
  }

  async createClaim(name: string, storageClass: string): Promise<void> {
    await this.#cluster.apply(
      stringify({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name }, spec: claimSpec(storageClass) }),
    )
  }

  async claimPhase(name: string): Promise<string> {
    return await this.#cluster.kubectl('get', 'pvc', name, '-o', 'jsonpath={.status.phase}')
  }

  /** Resolves to the message of an event of an object. */
  async event(kind: string, name: string, reason: string): Promise<string> {
    return await eventually(
      `${name} has an event ${reason}`,
      async () => {
        const about = `involvedObject.kind=${kind},involvedObject.name=${name},reason=${reason}`
        return await this.#cluster.kubectl('get', 'events', '--field-selector', about, '-o', 'jsonpath={.items[*].message}')
      },
      120_000,
    )
  }

  /**
   * Resolves when nothing of the driver's volumes is left: no claim, no PersistentVolume, no record of the Controller service, no mount, no FUSE session, no
   * entry of `status`, nothing in the kubelet's folders, and no folder of the pods with these uids.
   */
  async nothingIsLeft(...uids: readonly string[]): Promise<void> {
    let left: readonly string[] = []
    const nothing = async (): Promise<boolean> => {
      left = (await Promise.all([this.#objects(), this.#records(), this.#onNode(uids), this.#entries()])).flat()
      return left.length === 0
    }
    try {
      await eventually('nothing of the volumes is left', nothing, PATIENCE)
    } catch (error) {
      throw new Error(`still there:\n${left.join('\n')}`, { cause: error })
    }
  }

  async #objects(): Promise<readonly string[]> {
    return lines(await this.#cluster.kubectl('get', 'pvc,pv', '--all-namespaces', '-o', 'name'))
  }

  async #records(): Promise<readonly string[]> {
    const list = ['exec', `deployment/${NAME}`, '--container', 'controller', '--', 'ls', '/csi/state/volumes']
    const { status, stdout, stderr } = await this.#cluster.tryKubectl(list)
    return status === 0 ? lines(stdout) : [stderr]
  }

  async #onNode(uids: readonly string[]): Promise<readonly string[]> {
    const folders = [`plugins/kubernetes.io/csi/${DRIVER}`, `plugins/${DRIVER}-ephemeral`].map((name) => `/var/lib/kubelet/${name}`)
    const script = `
      awk '/ - fuse.dummy-fuse / { print $5 }' /proc/self/mountinfo
      find /proc/[0-9]*/fd -lname '*/fuse' 2>/dev/null
      find ${folders.join(' ')} -mindepth 1 2>/dev/null
      find /var/lib/kubelet/pods -path '*/kubernetes.io~csi/*'
      for uid in ${uids.join(' ')}; do ls -d /var/lib/kubelet/pods/$uid 2>/dev/null; done
      true`
    return lines(await this.#cluster.enter('sh', '-c', script))
  }

  async #entries(): Promise<readonly string[]> {
    const { volumes } = JSON.parse(await this.#driver.status('--json')) as {
      readonly volumes: readonly { readonly volumeId: string }[]
    }
    return volumes.map(({ volumeId }) => `status has ${volumeId}`)
  }
}

/** The spec of a claim, also of that of a generic ephemeral volume. */
export function claimSpec(storageClassName: string): object {
  return { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } }, storageClassName }
}

function lines(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '')
}
