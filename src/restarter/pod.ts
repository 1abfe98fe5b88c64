import { array, boolean, nullish, number, object, optional, record, string } from 'valibot'
import { checked } from '../schema.ts'

/** A label or annotation of a pod that the restarter leaves alone, and its value. */
export const OPT_OUT = { key: 'dummy-fuse-csi/evict', value: 'false' }

/** The value of volumeHealth[].healthConditions[].status that matters here (k8s.io/api, core/v1/types.go, VolumeHealthStatusType). */
const INACCESSIBLE = 'Inaccessible'

/** The kubelet marks the pods that it has from elsewhere than the API server (pkg/kubelet/types/pod_update.go). */
const MIRROR = 'kubernetes.io/config.mirror'
const SOURCE = 'kubernetes.io/config.source'

/** The label that the chart gives to the pods of the driver, and its value. */
const DRIVER_LABEL = { key: 'app.kubernetes.io/name', value: 'dummy-fuse-csi' }

const POD = object({
  metadata: object({
    namespace: string(),
    name: string(),
    uid: string(),
    resourceVersion: string(),
    creationTimestamp: nullish(string()),
    deletionTimestamp: nullish(string()),
    deletionGracePeriodSeconds: nullish(number(), 0),
    labels: optional(record(string(), string()), {}),
    annotations: optional(record(string(), string()), {}),
    ownerReferences: optional(
      array(
        object({
          apiVersion: optional(string(), ''),
          kind: string(),
          name: string(),
          uid: string(),
          controller: optional(boolean(), false),
        }),
      ),
      [],
    ),
  }),
  spec: object({
    nodeName: optional(string(), ''),
    volumes: optional(
      array(
        object({
          name: string(),
          persistentVolumeClaim: optional(object({ claimName: string() })),
          ephemeral: optional(object({})),
          hostPath: optional(object({ path: string() })),
        }),
      ),
      [],
    ),
  }),
  status: optional(
    object({
      phase: optional(string(), ''),
      conditions: optional(array(object({ type: string(), status: string() })), []),
      volumeHealth: optional(
        array(
          object({
            name: string(),
            lastTransitionTime: nullish(string()),
            healthConditions: optional(array(object({ status: string(), reason: optional(string(), '') })), []),
          }),
        ),
        [],
      ),
    }),
    {},
  ),
})

/** A volume that the kubelet says cannot be accessed. */
export interface InaccessibleVolume {
  /** Its name in pod.spec.volumes. */
  readonly name: string
  /** The reasons of these conditions, such as `DaemonDead`. */
  readonly reasons: readonly string[]
  /** Tells sets of conditions apart as the kubelet does: by the statuses and reasons of all of them. */
  readonly conditions: string
  /** When the kubelet saw this set of conditions first, by its clock: milliseconds since 1970; undefined if it does not say. */
  readonly lastTransition: number | undefined
}

/** What the restarter needs to know of a pod. Times are milliseconds since 1970 by the clock of the API server, unless a field says otherwise. */
export interface Pod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly resourceVersion: string
  /** The name of its node; undefined before it has one. */
  readonly node: string | undefined
  readonly created: number | undefined
  /** When it was told to end; undefined if it was not. */
  readonly deleted: number | undefined
  /** Milliseconds that it has for ending, once it was told to. */
  readonly gracePeriod: number
  /** It has succeeded or failed. */
  readonly over: boolean
  readonly succeeded: boolean
  readonly ready: boolean
  /** The owner that makes a replacement. */
  readonly controller:
    | { readonly apiVersion: string; readonly kind: string; readonly name: string; readonly uid: string }
    | undefined
  /** The kubelet made it of a file or URL: the API server has a copy of it only. */
  readonly isStatic: boolean
  /** It is of a DaemonSet of the driver itself. */
  readonly isDriver: boolean
  readonly optedOut: boolean
  /**
   * The claims of its volumes by the volume's name. The kubelet asks for the health of PersistentVolumes alone
   * (pkg/kubelet/volumemanager/cache/volume_health.go), and not of inline ephemeral volumes.
   */
  readonly claims: ReadonlyMap<string, string>
  readonly inaccessible: readonly InaccessibleVolume[]
}

/**
 * Reads a pod (k8s.io/api, core/v1/types.go, Pod). `driver`: the name of the CSI driver whose own pods are told by the folder of their socket.
 * Throws Error that names what is missing or wrong.
 */
export function parsePod(value: unknown, driver: string): Pod {
  const { metadata, spec, status } = checked(POD, value)
  const { annotations, labels, ownerReferences } = metadata
  const { phase, conditions, volumeHealth } = status
  const controller = ownerReferences.find((owner) => owner.controller)
  const deletion = timeOf(metadata.deletionTimestamp)
  const gracePeriod = metadata.deletionGracePeriodSeconds * 1000
  const socketFolder = `/plugins/${driver}`
  const hostPaths = spec.volumes.flatMap(({ hostPath }) => hostPath?.path.replace(/\/+$/, '') ?? [])
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    node: spec.nodeName === '' ? undefined : spec.nodeName,
    created: timeOf(metadata.creationTimestamp),
    // deletionTimestamp is the time at which the pod must have ended.
    deleted: deletion === undefined ? undefined : deletion - gracePeriod,
    gracePeriod,
    over: phase === 'Succeeded' || phase === 'Failed',
    succeeded: phase === 'Succeeded',
    ready: conditions.some(({ type, status }) => type === 'Ready' && status === 'True'),
    controller: controller && {
      apiVersion: controller.apiVersion,
      kind: controller.kind,
      name: controller.name,
      uid: controller.uid,
    },
    isStatic:
      annotations[MIRROR] !== undefined ||
      (annotations[SOURCE] ?? 'api') !== 'api' ||
      ownerReferences.some(({ kind }) => kind === 'Node'),
    isDriver:
      controller?.kind === 'DaemonSet' &&
      (labels[DRIVER_LABEL.key] === DRIVER_LABEL.value || hostPaths.some((path) => path.endsWith(socketFolder))),
    optedOut: [labels, annotations].some((texts) => texts[OPT_OUT.key] === OPT_OUT.value),
    claims: new Map(
      spec.volumes.flatMap(({ name, persistentVolumeClaim, ephemeral }): (readonly [string, string])[] => {
        if (persistentVolumeClaim !== undefined) return [[name, persistentVolumeClaim.claimName]]
        // A generic ephemeral volume's claim has the names of the pod and of the volume.
        return ephemeral === undefined ? [] : [[name, `${metadata.name}-${name}`]]
      }),
    ),
    inaccessible: volumeHealth.flatMap(({ name, lastTransitionTime, healthConditions }) => {
      const reasons = healthConditions.filter(({ status }) => status === INACCESSIBLE).map(({ reason }) => reason)
      if (reasons.length === 0) return []
      const conditions = healthConditions.map(({ status, reason }) => JSON.stringify([status, reason])).toSorted()
      return [{ name, reasons, conditions: conditions.join(), lastTransition: timeOf(lastTransitionTime) }]
    }),
  }
}

/** `namespace/name` */
export function podName({ namespace, name }: Pick<Pod, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`
}

function timeOf(text: string | null | undefined): number | undefined {
  const time = Date.parse(text ?? '')
  return Number.isNaN(time) ? undefined : time
}
