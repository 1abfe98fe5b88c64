import type { ConsumerPod } from '../volumes/mount-cache-entry.ts'
import { VolumeError } from '../volumes/errors.ts'

/** Keys that the kubelet adds to volume_context (kubernetes pkg/volume/csi/csi_mounter.go and csi_util.go). No volume attribute begins so. */
const KUBELET_PREFIX = 'csi.storage.k8s.io/'

const EPHEMERAL = `${KUBELET_PREFIX}ephemeral`
const POD_NAME = `${KUBELET_PREFIX}pod.name`
const POD_NAMESPACE = `${KUBELET_PREFIX}pod.namespace`
const POD_UID = `${KUBELET_PREFIX}pod.uid`

/** The one volume attribute of an inline ephemeral volume: mount options as `-o` takes them. */
const MOUNT_OPTIONS = 'mountOptions'

/** Bytes of the longest name of a pod or a namespace (kubernetes apimachinery, DNS1123SubdomainMaxLength). */
const LONGEST_NAME = 253

/** What the volume_context of NodePublishVolume says. */
export interface PublishContext {
  /** Whether the volume is an inline ephemeral one (CSIDriver volumeLifecycleModes). */
  readonly ephemeral: boolean
  /** The pod that the volume is published for, with the CSIDriver's podInfoOnMount. */
  readonly pod: ConsumerPod | undefined
  /** The attributes of an inline ephemeral volume that are a program's parameters. They come from the pod, which is not trusted. */
  readonly attributes: Readonly<Record<string, string>>
  /** The text of the attribute mountOptions of an inline ephemeral volume. It comes from the pod, which is not trusted. */
  readonly mountOptions: string
}

/**
 * Reads volume_context. The attributes of a persistent volume have no effect, and those that begin with csi.storage.k8s.io/ are the kubelet's. Throws
 * VolumeError `invalid` for an attribute of an inline ephemeral volume that this plugin does not have, and for malformed values of the kubelet.
 * `hasParameters`: whether volumes have parameters beside that.
 */
export function readPublishContext(context: Readonly<Record<string, string>>, hasParameters = false): PublishContext {
  const ephemeral = isEphemeral(context[EPHEMERAL])
  const pod = podIn(context)
  if (!ephemeral) return { ephemeral, pod, attributes: {}, mountOptions: '' }
  const own = Object.entries(context).filter(([key]) => !key.startsWith(KUBELET_PREFIX) && key !== MOUNT_OPTIONS)
  const unknown = hasParameters ? undefined : own[0]?.[0]
  if (unknown !== undefined)
    throw new VolumeError(
      'invalid',
      `volume attribute '${unknown}' is unknown; an inline ephemeral volume has the attribute ${MOUNT_OPTIONS} alone`,
    )
  return { ephemeral, pod, attributes: Object.fromEntries(own), mountOptions: context[MOUNT_OPTIONS] ?? '' }
}

function isEphemeral(value: string | undefined): boolean {
  if (value === undefined || value === 'false' || value === 'true') return value === 'true'
  throw new VolumeError('invalid', `volume_context ${EPHEMERAL} is '${value}'; the kubelet says true or false`)
}

function podIn(context: Readonly<Record<string, string>>): ConsumerPod | undefined {
  const [name, namespace, uid] = [POD_NAME, POD_NAMESPACE, POD_UID].map((key) => {
    const value = context[key] ?? ''
    if (Buffer.byteLength(value) > LONGEST_NAME || value.includes('\0'))
      throw new VolumeError(
        'invalid',
        `volume_context ${key} is no name of Kubernetes: it has more than ${LONGEST_NAME} bytes, or a NUL`,
      )
    return value
  })
  if (!name || !namespace) return undefined
  return { namespace, name, uid: uid ?? '' }
}
