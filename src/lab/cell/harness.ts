import type { Clock } from '../clock.ts'
import type { ContainerRuntime } from '../container-runtime.ts'
import type { Kubelet, Volume } from '../kubelet.ts'
import type { CellConsumer } from './cell-consumer.ts'
import type { VolumeOperations } from './volume-operations.ts'
import type { Timeline } from './timeline.ts'

/** What a failure can do to the CSI plugin. */
export interface PluginControl {
  /** Starts it, and waits until its socket can be connected to. `flaw`: further flags, this time. */
  start(flaw?: readonly string[]): Promise<void>
  /** SIGKILL, as the out-of-memory killer sends; resolves when it and what lives in its container are gone. */
  kill(): Promise<void>
  /** SIGTERM, as the end of a pod sends; resolves when it and what lives in its container are gone. */
  stop(): Promise<void>
  /** As its supervisor does it: `stop`, then `start`. */
  restart(): Promise<void>
  /** Puts another file in the place of its executable: the next start is of that one. */
  replaceExecutable(): void
  readonly pids: readonly number[]
}

/** What a failure can do to the daemons that serve the session of its volume. */
export interface DaemonControl {
  /** Processes that answer the kernel. */
  readonly pids: readonly number[]
  /** Starts what has to run before the plugin, as a boot does. */
  start(): Promise<void>
  /** SIGKILL; resolves when these processes have ended, even if others have replaced them. */
  kill(): Promise<void>
  /** Ends every daemon of the node. None is started again until `start`. */
  crash(): Promise<void>
  /** Replaces them by another executable, in the best way that this hosting has. */
  upgrade(): Promise<void>
  /** SIGSTOP; resolves when they have stopped. */
  hang(): Promise<void>
  /** SIGCONT. */
  resume(): void
}

/** What a failure can do to the node. */
export interface NodeControl {
  /** Runs a command in a shell of the node, noted on the lane `node`. */
  shell(command: string): Promise<string>
  /** A power cut: every process and mount goes, files stay, and the boot id changes. */
  crash(): Promise<void>
}

/** A private node with a plugin, its volumes and their consumers, for a failure to strike. */
export interface Harness<Plugin extends PluginControl = PluginControl> {
  readonly clock: Clock
  readonly timeline: Timeline
  readonly kubelet: Kubelet
  /** The volume that the failure strikes. */
  readonly volume: Volume
  readonly operations: VolumeOperations
  /** Another volume of the same plugin. */
  readonly neighbour: VolumeOperations
  readonly plugin: Plugin
  readonly daemons: DaemonControl
  readonly node: NodeControl
  readonly consumers: readonly CellConsumer[]
  /** Starts the containers of the consumers' pods. */
  readonly runtime: ContainerRuntime
  /** Starts the consumers that a crash of the machine has ended. */
  readonly startConsumers: () => Promise<void>
}
