import { join } from 'node:path'
import { EphemeralPlaces } from '../../src/volumes/ephemeral-places.ts'
import { Node } from '../../src/rpc/csi_pb.ts'
import { mountCapability, type Plugin } from './plugin.ts'
import type { Sandbox } from './sandbox.ts'

/** What the kubelet adds to the volume_context of an inline ephemeral volume, with podInfoOnMount. */
export function ephemeralContext(pod: string, attributes: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    ...attributes,
    'csi.storage.k8s.io/ephemeral': 'true',
    'csi.storage.k8s.io/pod.name': pod,
    'csi.storage.k8s.io/pod.namespace': 'default',
    'csi.storage.k8s.io/pod.uid': `uid-of-${pod}`,
    'csi.storage.k8s.io/serviceAccount.name': 'default',
  }
}

/** NodePublishVolume of an inline ephemeral volume, as the kubelet calls it. */
export async function publishEphemeral(
  plugin: Plugin,
  volumeId: string,
  targetPath: string,
  volumeContext: Record<string, string> = ephemeralContext('pod'),
  { readonly = false, capability = mountCapability('SINGLE_NODE_WRITER') } = {},
): Promise<void> {
  await plugin.call(Node.method.nodePublishVolume, { volumeId, targetPath, readonly, volumeCapability: capability, volumeContext })
}

/** Where a plugin stages an inline ephemeral volume, unless it was started with --ephemeral-dir. */
export function placeOf(plugin: Plugin, volumeId: string): string {
  return new EphemeralPlaces(join(plugin.stateDir, 'ephemeral')).of(volumeId)
}

/** The target of a pod, as the kubelet names it: its parent is there. */
export function podTarget(sandbox: Sandbox, pod: string): string {
  return join(sandbox.directory('pods', pod, 'volumes', 'kubernetes.io~csi', 'inline'), 'mount')
}
