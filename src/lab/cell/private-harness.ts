import type { ContainerRuntime } from '../container-runtime.ts'
import type { Kubelet, Volume } from '../kubelet.ts'
import type { MountSnapshot } from '../mount-snapshot.ts'
import type { CellConsumer } from './cell-consumer.ts'
import type { DaemonControl, Harness, HelperControl, HolderControl, PluginControl } from './harness.ts'
import type { PodReplacement } from './pod-replacement.ts'
import type { VolumeOperations } from './volume-operations.ts'

/** The daemons of a private node. */
export interface PrivateDaemons extends DaemonControl {
  /** What starts them again. */
  readonly helpers?: readonly HelperControl[]
  /** What holds a descriptor of the volume's connection beside them. */
  readonly holders?: HolderControl
  /** Ends every daemon of the node. None is started again until `start`. */
  crash(): Promise<void>
}

/** A private node with a plugin, its volumes and their consumers: the lab itself calls the plugin, as the kubelet does. */
export interface PrivateHarness<Plugin extends PluginControl = PluginControl> extends Harness {
  readonly plugin: Plugin
  readonly consumers: readonly CellConsumer[]
  /** Those of the volume that the failure strikes. */
  readonly pods: PodReplacement
  readonly kubelet: Kubelet
  /** The volume that the failure strikes. */
  readonly volume: Volume
  readonly operations: VolumeOperations
  /** What was mounted before the plugin was started. */
  readonly mounts: MountSnapshot
  /** Starts the containers of the consumers' pods. */
  readonly runtime: ContainerRuntime
  /** Runs a command in a shell of the node, noted on the lane `node`. */
  readonly shell: (command: string) => Promise<string>
  /** A pod with private mounts that reads the volume, on the lane `new-pod`. */
  readonly newPod: () => CellConsumer
}
