import type { Volume } from '../kubelet.ts'

/**
 * A CSI node plugin that somebody brings, as the file for `--driver` describes it (docs/lab.md). Words may have `{socket}`, the path
 * of the unix socket to serve on; `{state}`, a folder that lasts; `{node}`, a node id. Commands are words, not lines for a shell.
 */
export interface DriverSpec {
  readonly name: string
  /** Runs the plugin in the foreground. */
  readonly start: readonly string[]
  /** Of the next version; `start` if not given. */
  readonly upgrade: readonly string[]
  /** The signal that tells it to end. */
  readonly stop: 'SIGTERM' | 'SIGINT'
  /** Processes, by the name that `ps -o comm` shows, that end with the plugin's container. */
  readonly container: readonly string[]
  /** Whether its volumes are FUSE mounts. */
  readonly fuse: boolean
  /** The processes, by that name, that serve FUSE; undefined if the plugin does so itself. */
  readonly daemon: string | undefined
  readonly volume: Volume
  /** A shell's line that is run on the node before the plugin starts, such as one that puts the file where the plugin finds it. */
  readonly prepare: string | undefined
  /** The file that consumers read, below the volume. */
  readonly file: string
  /** What it holds, byte for byte. */
  readonly content: string
}

/** The places that a driver's words may name. */
export interface Places {
  readonly socket: string
  readonly state: string
  readonly node: string
}

/** Puts the places into words. */
export function filled(args: readonly string[], places: Places): readonly string[] {
  return args.map((word) => Object.entries(places).reduce((all, [name, place]) => all.replaceAll(`{${name}}`, String(place)), word))
}
