import { copyFileSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DIST, EXECUTABLE, ROOT } from './paths.ts'
import { SPARE_ARGS } from '../../src/os/processes/daemon-channel.ts'
import { CHECKOUT_INSIDE, Machine } from './nspawn.ts'
import type { Result } from './sandbox.ts'
import { GRPCURL } from './tools.ts'
import { eventually } from './wait.ts'

/** The unit that scripts/install installs. */
export const UNIT = 'dummy-fuse-csi.service'

/** What `dummy-fuse-csi status --json` prints. */
export interface Status {
  readonly stateDir: string
  readonly volumes: readonly {
    readonly volumeId: string
    readonly stagingPath: string
    readonly state: string
    readonly daemon: { readonly pid: number } | null
    readonly targets: readonly { readonly path: string; readonly state: string }[]
    readonly next: string
  }[]
}

const CAPABILITY = { mount: {}, access_mode: { mode: 'MULTI_NODE_READER_ONLY' } }

/** A machine on which scripts/install has installed the plugin, and the kubelet's part played by grpcurl from inside. */
export class InstalledPlugin implements AsyncDisposable {
  readonly machine: Machine

  private constructor(machine: Machine) {
    this.machine = machine
  }

  /** Installs, boots, and starts the unit. `words`: what DUMMY_FUSE_CSI_OPTS is to say. */
  static async start(args = ''): Promise<InstalledPlugin> {
    for (const file of [EXECUTABLE, GRPCURL]) {
      if (!existsSync(file)) throw new Error(`${file} is missing; run scripts/test --setup-only`)
    }
    const machine = await Machine.create()
    try {
      const plugin = new InstalledPlugin(machine)
      await plugin.#install(args)
      await machine.boot()
      await machine.systemctl('enable', '--now', '--quiet', UNIT)
      return plugin
    } catch (error) {
      await machine[Symbol.asyncDispose]()
      throw error
    }
  }

  async #install(args: string): Promise<void> {
    const { status, stderr } = await this.machine.host(join(ROOT, 'scripts/install'), ['--root', this.machine.root])
    if (status !== 0) throw new Error(`scripts/install failed: ${stderr}`)
    if (DIST !== join(ROOT, 'dist')) copyFileSync(EXECUTABLE, join(this.machine.root, 'usr/local/bin/dummy-fuse-csi'))
    this.setOptions(args)
  }

  /** Rewrites /etc/default/dummy-fuse-csi; the plugin reads it at its next start. */
  setOptions(args: string): void {
    writeFileSync(join(this.machine.root, 'etc/default/dummy-fuse-csi'), `DUMMY_FUSE_CSI_OPTS="${args}"\n`)
  }

  /** Where the kubelet has a volume staged, and where it gives it to a pod. */
  static stagingPath(volume: string): string {
    return `/var/lib/kubelet/plugins/kubernetes.io/csi/pv/${volume}/globalmount`
  }

  static targetPath(volume: string, pod: string): string {
    return `/var/lib/kubelet/pods/${pod}/volumes/kubernetes.io~csi/${volume}/mount`
  }

  /** Calls the plugin (`csi.v1.Node/NodeStageVolume`) and returns its answer. Throws with grpcurl's words on any other status than OK. */
  async call(method: string, request: object = {}): Promise<unknown> {
    // grpcurl 1.9.3 dials TCP with a bare path, -unix or not.
    const socket = 'unix:///run/dummy-fuse-csi/csi.sock'
    const args = ['-plaintext', '-unix', '-max-time', '30', '-d', '@', socket, method]
    const input = JSON.stringify(request)
    return JSON.parse(await this.machine.output(`${CHECKOUT_INSIDE}/.cache/bin/grpcurl`, args, { input })) as unknown
  }

  /** Stages a volume and publishes it for pods, as the kubelet does: it makes the directories first. Returns the targets. */
  async publish(volume: string, ...pods: readonly string[]): Promise<string[]> {
    const staging = InstalledPlugin.stagingPath(volume)
    const common = { volume_id: volume, staging_target_path: staging, volume_capability: CAPABILITY }
    await this.machine.output('mkdir', ['-p', staging])
    await this.call('csi.v1.Node/NodeStageVolume', common)
    const targets = pods.map((pod) => InstalledPlugin.targetPath(volume, pod))
    for (const target_path of targets) {
      await this.machine.output('mkdir', ['-p', join(target_path, '..')])
      await this.call('csi.v1.Node/NodePublishVolume', { ...common, target_path })
    }
    return targets
  }

  /** Undoes {@link publish}. */
  async unpublish(volume: string, ...pods: readonly string[]): Promise<void> {
    for (const pod of pods) {
      const target_path = InstalledPlugin.targetPath(volume, pod)
      await this.call('csi.v1.Node/NodeUnpublishVolume', { volume_id: volume, target_path })
    }
    const staging_target_path = InstalledPlugin.stagingPath(volume)
    await this.call('csi.v1.Node/NodeUnstageVolume', { volume_id: volume, staging_target_path })
  }

  /** Reads the file below a mounted directory: what a consumer gets. */
  async read(directory: string): Promise<Result> {
    return await this.machine.run('cat', [`${directory}/dummy-file.txt`], { timeout: 30_000 })
  }

  /**
   * Waits until a mounted directory's file can be read and no other volume or target is still being restored: a plugin whose restore takes longer than
   * a second is ready before.
   */
  async restored(directory: string): Promise<void> {
    await eventually(`${directory} is served`, async () => (await this.read(directory)).stdout === 'Hello world!\n')
    await eventually('all else is restored', async () => !(await this.machine.property(UNIT, 'StatusText')).includes('still being'))
  }

  async status(): Promise<Status> {
    return JSON.parse(await this.machine.output('dummy-fuse-csi', ['status', '--json'])) as Status
  }

  /** Paths at which the file system is mounted, in the machine's own mount namespace. */
  async mounts(): Promise<string[]> {
    const { stdout } = await this.machine.run('findmnt', [
      '--types',
      'fuse.dummy-fuse',
      '--noheadings',
      '--raw',
      '--output',
      'TARGET',
    ])
    return stdout.split('\n').filter(Boolean).sort()
  }

  /** Process ids of the FUSE daemons inside that serve a volume. A spare has their name until it is ready. */
  async daemons(): Promise<number[]> {
    return await this.machine.processes('dummy-fuse', SPARE_ARGS.at(-1))
  }

  async mainPid(): Promise<number> {
    return Number(await this.machine.property(UNIT, 'MainPID'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]()
  }
}
