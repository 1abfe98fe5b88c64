import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { Identity, Node, VolumeCapability_AccessMode_Mode as Mode, type VolumeCapabilitySchema } from '../rpc/csi_pb.ts'
import { CsiClient } from './csi-client.ts'
import { stagingPath, targetPath } from './node-paths.ts'

/** A volume as the seed's manifests describe it. */
export interface Volume {
  readonly id: string
  /** The PersistentVolume's name, which the kubelet's paths carry. */
  readonly pv: string
}

export const VOLUME: Volume = { id: 'dummy-fuse-volume', pv: 'dummy-fuse-pv' }

const CAPABILITY: MessageInitShape<typeof VolumeCapabilitySchema> = {
  accessType: { case: 'mount', value: {} },
  accessMode: { mode: Mode.MULTI_NODE_MULTI_WRITER },
}

/** Calls the plugin as the kubelet does, in its order, and makes the directories that are the kubelet's to make. */
export class Kubelet {
  readonly #socket: string

  constructor(socket: string) {
    this.#socket = socket
  }

  /** What node-driver-registrar and the kubelet ask when a plugin's socket appears. */
  async register(): Promise<void> {
    using client = new CsiClient(this.#socket)
    await client.call(Identity.method.getPluginInfo, {})
    await client.call(Node.method.nodeGetInfo, {})
  }

  /** Makes a volume ready on the node for its first pod. Returns the staging path, which CSI wants to exist before the call. */
  async stage(volume: Volume): Promise<string> {
    using client = new CsiClient(this.#socket)
    const path = stagingPath(volume.pv)
    mkdirSync(path, { recursive: true, mode: 0o750 })
    await client.call(Node.method.nodeGetCapabilities, {})
    await client.call(Node.method.nodeStageVolume, {
      volumeId: volume.id,
      stagingTargetPath: path,
      volumeCapability: CAPABILITY,
    })
    return path
  }

  /** Makes a staged volume ready for one pod. Returns the target path, whose parent CSI wants to exist before the call. */
  async publish(volume: Volume, podUid: string): Promise<string> {
    using client = new CsiClient(this.#socket)
    const path = targetPath(podUid, volume.pv)
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 })
    await client.call(Node.method.nodeGetCapabilities, {})
    await client.call(Node.method.nodePublishVolume, {
      volumeId: volume.id,
      stagingTargetPath: stagingPath(volume.pv),
      targetPath: path,
      volumeCapability: CAPABILITY,
    })
    return path
  }
}
