import { join } from 'node:path'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { VolumeCapabilitySchema } from '../../src/rpc/csi_pb.ts'
import { mountCapability, type Plugin } from './plugin.ts'
import type { Sandbox } from './sandbox.ts'
import { stop } from './stopped.ts'
import { eventually } from './wait.ts'

/** One volume's id and paths below a sandbox. The staging directory is made, as the kubelet makes it, the target's parent too. */
export class Volume {
  readonly id: string
  readonly staging: string
  readonly target: string
  readonly capability: MessageInitShape<typeof VolumeCapabilitySchema>
  readonly #sandbox: Sandbox
  readonly #plugin: Plugin

  constructor(sandbox: Sandbox, plugin: Plugin, id: string, capability = mountCapability()) {
    this.#sandbox = sandbox
    this.#plugin = plugin
    this.id = id
    this.capability = capability
    this.staging = sandbox.directory('kubelet', id, 'globalmount')
    this.target = this.another('pod')
  }

  /** One more target, of another pod. */
  another(pod: string): string {
    return join(this.#sandbox.directory('pods', this.id, pod), 'mount')
  }

  async stage(): Promise<void> {
    await this.#plugin.stage(this.id, this.staging, this.capability)
  }

  async publish(target = this.target, readonly = false): Promise<void> {
    await this.#plugin.publish(this.id, this.staging, target, { readonly, capability: this.capability })
  }

  async unpublish(target = this.target): Promise<void> {
    await this.#plugin.unpublish(this.id, target)
  }

  async unstage(): Promise<void> {
    await this.#plugin.unstage(this.id, this.staging)
  }

  /** Resolves once health finds nothing. A daemon that a busy machine keeps from an answer within a second counts as hung. */
  async becomesWell(): Promise<void> {
    await eventually(`the volume ${this.id} is well`, async () => (await this.reasons()).length === 0)
  }

  async reasons(): Promise<string[]> {
    return await this.#plugin.reasons(this.id)
  }

  /** Process id of the FUSE daemon. */
  daemon(): number {
    return this.#plugin.daemonOf(this.staging)
  }

  /** Ends the daemon with SIGKILL, and waits until the plugin has heard of it. */
  async killDaemon(): Promise<void> {
    await this.#plugin.killDaemon(this.staging)
  }

  /** Stops the daemon with SIGSTOP, and resolves when it has stopped: whoever asks the file system anything waits from then on. */
  async stopDaemon(): Promise<number> {
    const pid = this.daemon()
    await stop(pid)
    return pid
  }
}
