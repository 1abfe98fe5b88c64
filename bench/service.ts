import { join } from 'node:path'
import { EXECUTABLE } from '../test/support/paths.ts'
import { Plugin } from '../test/support/plugin.ts'
import type { Sandbox } from '../test/support/sandbox.ts'
import { AT_ONCE, FusedDaemon } from './fused.ts'
import { atOnce } from './measure.ts'

/** A volume of a service under measurement, and where the kubelet would have it. */
export interface ServedVolume {
  readonly id: string
  readonly staging: string
  readonly target: string
}

/** A plugin that has its volumes served by a `dummy-fused`, in a sandbox. */
export class Service {
  readonly plugin: Plugin
  readonly #sandbox: Sandbox
  readonly #name: string
  readonly #daemon: FusedDaemon

  private constructor(sandbox: Sandbox, name: string, daemon: FusedDaemon, plugin: Plugin) {
    this.#sandbox = sandbox
    this.#name = name
    this.#daemon = daemon
    this.plugin = plugin
  }

  /** Starts both; `by`: a program that executes both, with its arguments. Several in one sandbox have names of their own. */
  static async start(sandbox: Sandbox, name: string, by: readonly string[] = []): Promise<Service> {
    const daemon = await FusedDaemon.start(sandbox, name, by)
    const args = ['--fuse-host', 'service', '--fused-socket', daemon.socket]
    const plugin = await Plugin.start(sandbox, { name, args, by, log: join(sandbox.path, `${name}.log`) })
    return new Service(sandbox, name, daemon, plugin)
  }

  /** Volumes `from` to `to`, the last left out, whose directories are there. */
  volumes(from: number, to: number): ServedVolume[] {
    return Array.from({ length: to - from }, (_, i) => {
      const id = `${this.#name}-${from + i}`
      const target = join(this.#sandbox.directory('pods', id), 'mount')
      return { id, staging: this.#sandbox.directory('kubelet', id), target }
    })
  }

  async stage(volumes: readonly ServedVolume[]): Promise<void> {
    await atOnce(AT_ONCE, volumes, ({ id, staging }) => this.plugin.stage(id, staging))
  }

  async unstage(volumes: readonly ServedVolume[]): Promise<void> {
    await atOnce(AT_ONCE, volumes, ({ id, staging }) => this.plugin.unstage(id, staging))
  }

  async publish(volumes: readonly ServedVolume[]): Promise<void> {
    await atOnce(AT_ONCE, volumes, ({ id, staging, target }) => this.plugin.publish(id, staging, target))
  }

  async unpublish(volumes: readonly ServedVolume[]): Promise<void> {
    await atOnce(AT_ONCE, volumes, ({ id, target }) => this.plugin.unpublish(id, target))
  }

  /** NodeGetVolumeHealth of each. Rejects if one is not healthy. */
  async health(volumes: readonly ServedVolume[]): Promise<void> {
    await atOnce(AT_ONCE, volumes, async ({ id }) => {
      const reasons = await this.plugin.reasons(id)
      if (reasons.length > 0) throw new Error(`${id} is not healthy: ${reasons.join(', ')}`)
    })
  }

  /** `dummy-fuse-csi status --json`: each volume and its state. Rejects if it does not list so many, or one is not mounted. */
  async status(count: number): Promise<void> {
    const { status, stdout, stderr } = await this.#sandbox.run(EXECUTABLE, [
      'status',
      '--json',
      '--state-dir',
      this.plugin.stateDir,
      '--fused-socket',
      this.#daemon.socket,
    ])
    if (status !== 0) throw new Error(`dummy-fuse-csi status failed: ${stderr}`)
    const { volumes } = JSON.parse(stdout) as { volumes: { state: string }[] }
    const mounted = volumes.filter(({ state }) => state === 'MOUNTED').length
    if (mounted !== count) throw new Error(`${mounted} of ${count} volumes are mounted, says dummy-fuse-csi status`)
  }

  /** Rejects if the daemon does not list so many sessions. */
  async list(count: number): Promise<void> {
    const sessions = await this.#daemon.sessions()
    if (sessions !== count) throw new Error(`dummy-fused lists ${sessions} sessions, not ${count}`)
  }

  /** Ends both; what is still mounted is the sandbox's to take off. */
  async stop(): Promise<void> {
    await this.plugin.stop()
    this.plugin[Symbol.dispose]()
    await this.#daemon.stop()
  }
}
