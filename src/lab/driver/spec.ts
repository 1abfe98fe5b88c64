import type { Volume } from '../kubelet.ts'
import type { Creation } from '../provisioner.ts'

/** A program that runs beside the plugin. */
export interface HelperSpec {
  readonly name: string
  readonly command: readonly string[]
  /** A shell's line that succeeds when it is ready; undefined: it is once it runs. */
  readonly ready: string | undefined
  /** What it ends with. A service is started again whenever it ends while the machine runs. */
  readonly belongs: 'container' | 'node' | 'service'
  /** Whether it is the storage of the volume. */
  readonly storage: boolean
}

/** How the plugin is started with its FUSE daemons behind a shield. */
export interface ShieldedStart {
  /** In place of {@link DriverSpec.start} and {@link DriverSpec.upgrade}. */
  readonly start: readonly string[]
  /** In place of {@link DriverSpec.container}. */
  readonly container: readonly string[]
  /** Whether its volumes are read-only. */
  readonly readOnly: boolean
}

/** What network a node has: one of its own with a loopback interface alone, or that of the machine. */
export type Network = 'loopback' | 'host'

/**
 * A CSI node plugin that somebody brings, as the file for `--driver` describes it (docs/lab.md), with its placeholders filled in. Commands are
 * words, not lines for a shell.
 */
export interface DriverSpec {
  readonly name: string
  /** Runs the plugin in the foreground. */
  readonly start: readonly string[]
  /** Of the next version; `start` if not given. */
  readonly upgrade: readonly string[]
  /** The signal that stops it. */
  readonly stop: 'SIGTERM' | 'SIGINT'
  /** Variables of its environment and those of the helpers, beside those of the node. */
  readonly env: Readonly<Record<string, string>>
  /** In the order in which they are started. */
  readonly helpers: readonly HelperSpec[]
  /** Where it listens. */
  readonly socket: string
  readonly network: Network
  /** Whether each node is a machine that a systemd runs, and the plugin a unit of it. */
  readonly systemd: boolean
  /** Whether the consumers run in cgroups as a kubelet makes them for pods. */
  readonly podCgroups: boolean
  /** Milliseconds for one call. */
  readonly callTimeout: number
  /** Milliseconds for which a consumer that reads wrong is watched, from the repair or from its own start. */
  readonly watch: number
  /** Whether the file says so. */
  readonly watchIsGiven: boolean
  /** Processes, by the name that `ps -o comm` shows, that end with the plugin's container. */
  readonly container: readonly string[]
  /** Whether its volumes are FUSE mounts. */
  readonly fuse: boolean
  /** The name that the file gives to the processes that serve FUSE. Failures strike those that answer, whatever their name. */
  readonly daemon: string | undefined
  /** Undefined if the file does not say. */
  readonly shield: ShieldedStart | undefined
  /** Without an id if `create` is given: the answer has that. */
  readonly volume: Volume
  /** By what the volume is created; undefined if it exists. */
  readonly create: Creation | undefined
  /** Log files of the driver, by absolute paths in which `*` stands for any part of a name. */
  readonly logs: readonly string[]
  /** A shell's line that is run on the node before the plugin starts, such as one that puts the file where the plugin finds it. */
  readonly prepare: string | undefined
  /** A shell's line that is run when the volume is published for the first time; {target} in it is where. */
  readonly populate: string | undefined
  /** Where the storage keeps the files of the volume, a folder of the node; undefined if that is not known. */
  readonly stored: string | undefined
  /** The file that consumers read, below the volume. */
  readonly file: string
  /** What it holds, byte for byte. */
  readonly content: string
}
