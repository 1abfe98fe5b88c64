import assert from 'node:assert/strict'
import { join } from 'node:path'
import { ROOT } from '../../support/paths.ts'
import { eventually } from '../../support/wait.ts'
import type { Cluster, Pod } from './cluster.ts'

export const CHART = join(ROOT, 'chart/dummy-fuse-csi')
export const MANIFESTS = join(ROOT, 'manifests')

/** The driver's name, and that of the chart's release in tests. */
export const DRIVER = 'dummy-fuse-csi'

/** The DaemonSets of the chart: the plugin's, and with --fuse-host service dummy-fused's, or for a program the holder's. */
const COMPONENTS = ['plugin', 'fused', 'holder'] as const

/** One of {@link COMPONENTS}. */
export type Component = (typeof COMPONENTS)[number]

const DAEMON_SETS: Readonly<Record<Component, string>> = {
  plugin: DRIVER,
  fused: `${DRIVER}-fused`,
  holder: `${DRIVER}-holder`,
}

/** The driver on a cluster, as its chart installs it. */
export class Driver {
  readonly cluster: Cluster

  constructor(cluster: Cluster) {
    this.cluster = cluster
  }

  /** Installs the chart with values (`csi.plugin.fuseHost=service`; an object is JSON), or upgrades to them, and resolves when the kubelet has the driver registered. */
  async install(...values: readonly string[]): Promise<void> {
    const set = values.flatMap((value) => [value.includes('={') ? '--set-json' : '--set', value])
    await this.cluster.helm('upgrade', '--install', '--reset-values', DRIVER, CHART, ...set)
    await this.ready()
  }

  /** Resolves when each of its DaemonSets is rolled out and the kubelet has the driver registered. */
  async ready(): Promise<void> {
    for (const name of Object.values(DAEMON_SETS)) {
      if ((await this.cluster.tryKubectl(['get', 'daemonset', name])).status !== 0) continue
      await this.cluster.kubectl('rollout', 'status', `daemonset/${name}`, '--timeout=170s')
    }
    await this.registered(true)
  }

  /** Resolves when the kubelet has the driver registered, or has it not. */
  async registered(expected: boolean): Promise<void> {
    const is = async (): Promise<boolean> => (await this.#registeredDrivers()).includes(DRIVER) === expected
    await eventually(`the driver is ${expected ? '' : 'not '}registered`, is, 120_000)
  }

  async #registeredDrivers(): Promise<readonly string[]> {
    const { spec } = await this.cluster.get<{ readonly spec: { readonly drivers?: readonly { readonly name: string }[] } }>(
      'csinode',
      '127.0.0.1',
    )
    return spec.drivers?.map(({ name }) => name) ?? []
  }

  /** The one pod of a component that is not about to end. */
  async pod(component: Component): Promise<string> {
    return await eventually(`there is one pod of the ${component}`, async () => {
      const pods = await this.pods(component)
      return pods.length === 1 ? pods[0]?.metadata.name : undefined
    })
  }

  /** All pods of a component. */
  async pods(component: Component): Promise<readonly Pod[]> {
    return await this.cluster.list<Pod>('pod', `app.kubernetes.io/component=${component}`)
  }

  /** Rolls a component out anew. */
  async restart(component: Component): Promise<void> {
    await this.cluster.kubectl('rollout', 'restart', `daemonset/${DAEMON_SETS[component]}`)
  }

  /** What `dummy-fuse-csi status` prints in the plugin's container. */
  async status(...args: readonly string[]): Promise<string> {
    const folder = `/var/lib/kubelet/plugins/${DRIVER}/state`
    const command = ['dummy-fuse-csi', 'status', '--state-dir', folder, ...args]
    return await this.cluster.kubectl('exec', await this.pod('plugin'), '--container', 'nodeplugin', '--', ...command)
  }

  /** The log of a container of the component's pod. */
  async log(component: Component, container: string): Promise<string> {
    return await this.cluster.kubectl('logs', await this.pod(component), '--container', container)
  }

  /** Creates the volume and the claim of manifests/volume.yaml. */
  async createVolume(): Promise<void> {
    await this.cluster.kubectl('apply', '--filename', join(MANIFESTS, 'volume.yaml'))
  }

  /** Deletes the pods that a selector chooses, then the volume, and sees that the node has no mount of ours any more. */
  async deleteVolume(selector: string): Promise<void> {
    await this.cluster.kubectl('delete', 'pod', '--selector', selector, '--wait', '--timeout=120s')
    await this.cluster.kubectl('delete', '--filename', join(MANIFESTS, 'volume.yaml'), '--timeout=120s')
    await eventually('no mount of ours is left on the node', async () => (await this.cluster.mounts()).length === 0, 120_000)
  }

  /** Removes the release, and sees that its pods and its registration go. */
  async uninstall(): Promise<void> {
    await this.cluster.helm('uninstall', DRIVER, '--wait', '--timeout', '150s')
    await eventually(
      'the pods are gone',
      async () => (await Promise.all(COMPONENTS.map(async (one) => await this.pods(one)))).flat().length === 0,
      120_000,
    )
    await this.registered(false)
    assert.deepEqual(await this.cluster.mounts(), [])
  }
}
