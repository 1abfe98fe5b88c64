import { dirname } from 'node:path'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { GrpcClient } from '../grpc/client.ts'
import { makeDirectories } from '../os/mounts/directories.ts'
import {
  Identity,
  Node,
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapabilitySchema,
  VolumeHealthErrorType as Health,
} from '../rpc/csi_pb.ts'
import { stagingPath, targetPath } from './node-paths.ts'

/** Milliseconds for one call: more than the plugin's own 10 s limit, so that it is the plugin that answers. */
export const STANDARD_DEADLINE = 12_000

/** How a volume may be used, by the names of the CSI specification. */
export type AccessMode = Exclude<keyof typeof Mode, 'UNKNOWN'>

/** A call that has secrets of a volume. Kubernetes names a Secret for each of them in the StorageClass or the PersistentVolume. */
export type SecretCall = 'controllerCreate' | 'controllerDelete' | 'nodeStage' | 'nodePublish'

/** A volume as the manifests of the original project, or a driver's file, describe it. */
export interface Volume {
  readonly id: string
  /** The PersistentVolume's name, which the kubelet's paths carry. */
  readonly pv: string
  readonly volumeContext?: Readonly<Record<string, string>>
  readonly publishContext?: Readonly<Record<string, string>>
  /** Of every call that has none of its own in `callSecrets`. */
  readonly secrets?: Readonly<Record<string, string>>
  readonly callSecrets?: Readonly<Partial<Record<SecretCall, Readonly<Record<string, string>>>>>
  /** MULTI_NODE_MULTI_WRITER if not given. */
  readonly accessMode?: AccessMode
  /** Whether NodePublishVolume is told of the pod, as for a CSIDriver with podInfoOnMount. */
  readonly podInfo?: boolean
  readonly fsType?: string
  readonly mountFlags?: readonly string[]
  /** Whether the driver stages volumes (STAGE_UNSTAGE_VOLUME); it does if not given. */
  readonly staged?: boolean
}

export const VOLUME: Volume = { id: 'dummy-fuse-volume', pv: 'dummy-fuse-pv' }

/** Another volume of the same plugin. */
export const NEIGHBOUR: Volume = { id: 'neighbour-volume', pv: 'neighbour-pv' }

/** Calls the plugin as the kubelet does, in its order, and makes the directories that are the kubelet's to make. */
export class Kubelet {
  readonly #socket: string
  #deadline: number

  /** `deadline`: milliseconds for one call. */
  constructor(socket: string, deadline = STANDARD_DEADLINE) {
    this.#socket = socket
    this.#deadline = deadline
  }

  /** `deadline`: milliseconds for each call from now on. */
  setDeadline(deadline: number): void {
    this.#deadline = deadline
  }

  /** What node-driver-registrar and the kubelet ask when a plugin's socket appears. */
  async register(): Promise<void> {
    using client = new GrpcClient(this.#socket)
    await client.call(Identity.method.getPluginInfo, {}, this.#deadline)
    await client.call(Node.method.nodeGetInfo, {}, this.#deadline)
  }

  /** Makes a volume ready on the node for its first pod. Returns the staging path, which CSI wants to exist before the call. */
  async stage(volume: Volume): Promise<string> {
    using client = new GrpcClient(this.#socket)
    const path = stagingPath(volume.pv)
    if (volume.staged === false) return path
    makeDirectories(path, 0o750)
    await client.call(Node.method.nodeGetCapabilities, {}, this.#deadline)
    await client.call(Node.method.nodeStageVolume, { ...requestOf(volume, 'nodeStage'), stagingTargetPath: path }, this.#deadline)
    return path
  }

  /** Makes a staged volume ready for one pod. Returns the target path, whose parent CSI wants to exist before the call. */
  async publish(volume: Volume, podUid: string): Promise<string> {
    using client = new GrpcClient(this.#socket)
    const path = targetPath(podUid, volume.pv)
    makeDirectories(dirname(path), 0o750)
    await client.call(Node.method.nodeGetCapabilities, {}, this.#deadline)
    const stagingTargetPath = volume.staged === false ? '' : stagingPath(volume.pv)
    const request = { ...requestOf(volume, 'nodePublish'), stagingTargetPath, targetPath: path }
    if (volume.podInfo === true) Object.assign(request.volumeContext, podInfo(podUid))
    await client.call(Node.method.nodePublishVolume, request, this.#deadline)
    return path
  }

  /** Takes a volume from one pod. */
  async unpublish(volume: Volume, podUid: string): Promise<void> {
    using client = new GrpcClient(this.#socket)
    const path = targetPath(podUid, volume.pv)
    await client.call(Node.method.nodeUnpublishVolume, { volumeId: volume.id, targetPath: path }, this.#deadline)
  }

  /** Takes a volume off the node, when its last pod has gone. */
  async unstage(volume: Volume): Promise<void> {
    if (volume.staged === false) return
    using client = new GrpcClient(this.#socket)
    const path = stagingPath(volume.pv)
    await client.call(Node.method.nodeUnstageVolume, { volumeId: volume.id, stagingTargetPath: path }, this.#deadline)
  }

  /** Why the plugin says that a volume cannot be reached (NodeGetVolumeHealth of CSI 1.13), a word for each cause; none if all is well. */
  async inaccessible(volume: Volume): Promise<readonly string[]> {
    using client = new GrpcClient(this.#socket)
    const { volumeHealth } = await client.call(Node.method.nodeGetVolumeHealth, { volumeId: volume.id }, this.#deadline)
    const entries = volumeHealth?.healthStatuses ?? []
    return entries.filter(({ status }) => status === Health.INACCESSIBLE).map(({ reason }) => reason)
  }
}

/** What NodeStageVolume and NodePublishVolume are both told of a volume. */
interface VolumeRequest {
  readonly volumeId: string
  readonly volumeCapability: MessageInitShape<typeof VolumeCapabilitySchema>
  readonly volumeContext: Record<string, string>
  readonly publishContext: Record<string, string>
  readonly secrets: Record<string, string>
}

function requestOf(volume: Volume, call: SecretCall): VolumeRequest {
  const { id, volumeContext, publishContext } = volume
  return {
    volumeId: id,
    volumeCapability: capabilityOf(volume),
    volumeContext: { ...volumeContext },
    publishContext: { ...publishContext },
    secrets: secretsOf(volume, call),
  }
}

/** The capability that a pod asks of a volume. */
export function capabilityOf({
  fsType = '',
  mountFlags = [],
  accessMode = 'MULTI_NODE_MULTI_WRITER',
}: Volume): VolumeRequest['volumeCapability'] {
  return {
    accessType: { case: 'mount', value: { fsType, mountFlags: [...mountFlags] } },
    accessMode: { mode: Mode[accessMode] },
  }
}

/** The secrets of one call. */
export function secretsOf({ secrets = {}, callSecrets = {} }: Volume, call: SecretCall): Record<string, string> {
  return { ...(callSecrets[call] ?? secrets) }
}

/** What the kubelet tells of a pod in volume_context, for a volume that is not ephemeral (kubernetes pkg/volume/csi, getPodInfoAttrs). */
function podInfo(uid: string): Record<string, string> {
  return {
    'csi.storage.k8s.io/pod.name': `lab-${uid}`,
    'csi.storage.k8s.io/pod.namespace': 'default',
    'csi.storage.k8s.io/pod.uid': uid,
    'csi.storage.k8s.io/serviceAccount.name': 'default',
    'csi.storage.k8s.io/ephemeral': 'false',
  }
}
