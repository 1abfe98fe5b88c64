import type { ConsumerSpec } from '../matrix/consumers.ts'
import type { Hosting, Mitigation } from '../mitigations.ts'
import { AGENT, CELL_LABEL, type CellNames, type Component, COMPONENT_LABEL, MANAGED_BY, RUN_LABEL } from './names.ts'

/** How the pods of a run come to their node, and to their image. */
export interface Placement {
  readonly node: string
  readonly image: string
  readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  /** The kubelet's root folder on the node. */
  readonly kubelet: string
}

/** An object of the API, for a request. */
export type KubeObject = Readonly<Record<string, unknown>>

/** The name of the only container that is looked at, in each pod of the lab. */
export const CONTAINERS: Readonly<Record<Component, string>> = {
  plugin: 'nodeplugin',
  fused: 'fused',
  consumer: 'consumer',
  agent: 'agent',
}

/** Milliseconds between two reads of a consumer on a cluster: each result goes through a log. */
const READ_INTERVAL = 100

/** Where the volume, or the folder above it, is in a consumer. */
const MOUNT_POINT = '/mnt'

/** Taints do not matter: the node is chosen. */
const TOLERATIONS = [{ operator: 'Exists' }]

const PRIVILEGED = { privileged: true, readOnlyRootFilesystem: true }

/** The namespace of a run. Its pods need privileges, which the Pod Security admission grants by these labels. */
export function namespace(run: string): KubeObject {
  const labels = {
    [MANAGED_BY.key]: MANAGED_BY.value,
    [RUN_LABEL]: run,
    'pod-security.kubernetes.io/enforce': 'privileged',
    'pod-security.kubernetes.io/warn': 'privileged',
    'pod-security.kubernetes.io/audit': 'privileged',
  }
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name: run, labels } }
}

/** The pod that acts on the node: privileged, with the node's processes and the kubelet's folder. It ends with the lab's connection to it. */
export function agentPod(run: string, placement: Placement): KubeObject {
  const { kubelet } = placement
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: AGENT,
      namespace: run,
      labels: { [MANAGED_BY.key]: MANAGED_BY.value, [RUN_LABEL]: run, [COMPONENT_LABEL]: 'agent' },
    },
    spec: {
      ...onNode(placement),
      hostPID: true,
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 2,
      containers: [
        {
          name: CONTAINERS.agent,
          ...imageOf(placement),
          args: ['lab-agent', `--kubelet-dir=${kubelet}`],
          stdin: true,
          stdinOnce: true,
          securityContext: { privileged: true },
          volumeMounts: [{ name: 'kubelet', mountPath: kubelet, mountPropagation: 'Bidirectional' }],
        },
      ],
      volumes: [hostPath('kubelet', kubelet, 'Directory')],
    },
  }
}

/** The CSIDriver of a cell, as the chart has it. */
export function csiDriver(names: CellNames): KubeObject {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSIDriver',
    metadata: { name: names.driver, labels: names.labels },
    spec: { attachRequired: false, podInfoOnMount: true, volumeLifecycleModes: ['Persistent'] },
  }
}

/** A volume of a cell, for its claim alone. */
export function persistentVolume(names: CellNames, which: 'struck' | 'neighbour', mountOptions: readonly string[]): KubeObject {
  const name = names.volume(which)
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name, labels: names.labels },
    spec: {
      accessModes: ['ReadWriteMany'],
      capacity: { storage: '1Gi' },
      persistentVolumeReclaimPolicy: 'Retain',
      claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name, namespace: names.run },
      ...(mountOptions.length === 0 ? {} : { mountOptions }),
      csi: { driver: names.driver, volumeHandle: name },
    },
  }
}

export function claim(names: CellNames, which: 'struck' | 'neighbour'): KubeObject {
  const name = names.volume(which)
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: names.run, labels: names.labels },
    spec: {
      accessModes: ['ReadWriteMany'],
      resources: { requests: { storage: '1Gi' } },
      volumeName: name,
      storageClassName: '',
    },
  }
}

/** The flags of `serve` for a hosting. In a pod, `detached` daemons are in the plugin's container as well. */
function hostFlags(hosting: Hosting, names: CellNames): readonly string[] {
  switch (hosting) {
    case 'child':
    case 'detached':
      return [`--fuse-host=${hosting}`]
    case 'child-shared':
      return ['--fuse-host=child', '--daemons=shared']
    case 'detached-shared':
      return ['--fuse-host=detached', '--daemons=shared']
    case 'keep':
      return ['--fuse-host=service', `--fused-socket=${names.fusedSocket}`]
    case 'systemd':
      throw new Error('no pod has a systemd')
    case 'shield':
      throw new Error('the lab runs no shield in pods')
  }
}

/** The DaemonSet of the plugin, as the chart has it. `version`: another one makes the DaemonSet replace its pod. `further`: flags of `serve`. */
export function pluginDaemonSet(
  names: CellNames,
  placement: Placement,
  { hosting, pluginFlags }: Pick<Mitigation, 'hosting' | 'pluginFlags'>,
  { version, further }: { readonly version: number; readonly further: readonly string[] },
): KubeObject {
  const { kubelet } = placement
  const service = hosting === 'keep'
  const fused = { name: 'fused', mountPath: names.fusedFolder }
  const plugin = {
    name: CONTAINERS.plugin,
    ...imageOf(placement),
    args: [
      'serve',
      `--endpoint=unix://${names.pluginSocket}`,
      `--state-dir=${names.pluginFolder}/state`,
      `--kubelet-registration-dir=${kubelet}/plugins_registry`,
      `--allowed-root=${kubelet}`,
      `--drivername=${names.driver}`,
      '--nodeid=$(NODE_NAME)',
      ...hostFlags(hosting, names),
      ...pluginFlags,
      ...further,
    ],
    env: [{ name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
    securityContext: PRIVILEGED,
    volumeMounts: [
      { name: 'plugin', mountPath: names.pluginFolder },
      { name: 'registry', mountPath: `${kubelet}/plugins_registry` },
      { name: 'plugins', mountPath: `${kubelet}/plugins/kubernetes.io`, mountPropagation: 'Bidirectional' },
      { name: 'pods', mountPath: `${kubelet}/pods`, mountPropagation: 'Bidirectional' },
      ...(service ? [fused] : []),
    ],
  }
  const standby = {
    name: 'standby',
    ...imageOf(placement),
    args: [
      ...['keep', '--', 'dummy-fuse-csi', 'standby', `--state-dir=${names.fusedFolder}`],
      ...['--on-stop=serve', '--takeover-deadline=600'],
    ],
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    volumeMounts: [fused],
  }
  return daemonSet(names, placement, 'plugin', version, {
    terminationGracePeriodSeconds: service ? 60 : 30,
    containers: [plugin, ...(service ? [standby] : [])],
    volumes: [
      hostPath('plugin', names.pluginFolder, 'DirectoryOrCreate'),
      hostPath('registry', `${kubelet}/plugins_registry`, 'Directory'),
      hostPath('plugins', `${kubelet}/plugins/kubernetes.io`, 'DirectoryOrCreate'),
      hostPath('pods', `${kubelet}/pods`, 'Directory'),
      ...(service ? [hostPath('fused', names.fusedFolder, 'DirectoryOrCreate')] : []),
    ],
  })
}

/** The DaemonSet of dummy-fused, as the chart has it with `csi.plugin.fuseHost: service`. */
export function fusedDaemonSet(names: CellNames, placement: Placement, version: number): KubeObject {
  const { kubelet } = placement
  return daemonSet(names, placement, 'fused', version, {
    terminationGracePeriodSeconds: 60,
    containers: [
      {
        name: CONTAINERS.fused,
        ...imageOf(placement),
        args: [
          ...['keep', `--socket=${names.fusedSocket}`, '--watchdog=4', '--'],
          ...['dummy-fused', `--state-dir=${names.fusedFolder}`, '--on-stop=hand-over'],
        ],
        securityContext: PRIVILEGED,
        volumeMounts: [
          { name: 'fused', mountPath: names.fusedFolder },
          { name: 'plugins', mountPath: `${kubelet}/plugins/kubernetes.io`, mountPropagation: 'Bidirectional' },
        ],
      },
    ],
    volumes: [
      hostPath('fused', names.fusedFolder, 'DirectoryOrCreate'),
      hostPath('plugins', `${kubelet}/plugins/kubernetes.io`, 'DirectoryOrCreate'),
    ],
  })
}

/** The name of a DaemonSet of a cell. */
export function daemonSetName(names: CellNames, component: 'plugin' | 'fused'): string {
  return `${names.driver}-${component}`
}

/**
 * A consumer as a pod. One that lives on the node itself on a bare node has the kubelet's folder of pods with HostToContainer here, which shows the mounts
 * as the node has them; so has one with the folder above the volume. A container of each pod has the volume itself, or the kubelet would not publish it.
 *
 * `name`: of the pod. `flags`: of lab-consumer.
 */
export function consumerPod(
  names: CellNames,
  placement: Placement,
  kind: ConsumerSpec,
  { name, flags }: { readonly name: string; readonly flags: readonly string[] },
): KubeObject {
  const seesNode = kind.place === 'node' || kind.place === 'slave-folder'
  const volume = names.volume(kind.volume)
  const mounts = seesNode
    ? [
        { name: 'pods', mountPath: MOUNT_POINT, mountPropagation: 'HostToContainer' },
        { name: 'volume', mountPath: '/volume' },
      ]
    : [{ name: 'volume', mountPath: MOUNT_POINT, mountPropagation: kind.place === 'slave' ? 'HostToContainer' : 'None' }]
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: names.run, labels: { ...names.labels, [COMPONENT_LABEL]: 'consumer' } },
    spec: {
      ...onNode(placement),
      restartPolicy: 'Always',
      // A process 1 without a handler ignores SIGTERM (pid_namespaces(7)).
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: CONTAINERS.consumer,
          ...imageOf(placement),
          args: [
            ...['lab-consumer', ...flags, `--interval=${READ_INTERVAL}`],
            `--file=${folderInPod(names, kind, '$(POD_UID)')}/dummy-file.txt`,
          ],
          env: [{ name: 'POD_UID', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } }],
          volumeMounts: mounts,
        },
      ],
      volumes: [
        { name: 'volume', persistentVolumeClaim: { claimName: volume } },
        ...(seesNode ? [hostPath('pods', `${placement.kubelet}/pods`, 'Directory')] : []),
      ],
    },
  }
}

/** Where a consumer has its volume in its own mount namespace. */
export function folderInPod(names: CellNames, { place, volume }: ConsumerSpec, podUid: string): string {
  const seesNode = place === 'node' || place === 'slave-folder'
  return seesNode ? `${MOUNT_POINT}/${podUid}/volumes/kubernetes.io~csi/${names.volume(volume)}/mount` : MOUNT_POINT
}

function daemonSet(
  names: CellNames,
  placement: Placement,
  component: 'plugin' | 'fused',
  version: number,
  spec: KubeObject,
): KubeObject {
  const own = { [CELL_LABEL]: names.driver, [COMPONENT_LABEL]: component }
  const terms = [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [placement.node] }] }]
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: daemonSetName(names, component), namespace: names.run, labels: names.labels },
    spec: {
      selector: { matchLabels: own },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
      template: {
        metadata: {
          labels: { ...names.labels, ...own },
          annotations: { 'dummy-fuse-csi/lab-version': String(version) },
        },
        spec: {
          automountServiceAccountToken: false,
          tolerations: TOLERATIONS,
          affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } },
          ...spec,
        },
      },
    },
  }
}

function onNode({ node }: Placement): KubeObject {
  return { nodeName: node, automountServiceAccountToken: false, enableServiceLinks: false, tolerations: TOLERATIONS }
}

function imageOf({ image, pullPolicy }: Placement): KubeObject {
  return { image, imagePullPolicy: pullPolicy }
}

function hostPath(name: string, path: string, type: 'Directory' | 'DirectoryOrCreate'): KubeObject {
  return { name, hostPath: { path, type } }
}
