import type { ProcessStat } from '../../src/os/processes/processes.ts'
import type { Deed, Share, Victim } from './plan.ts'
import type { Scene } from './snapshot.ts'

/** A line of a program's log, when it came (performance.now()), and the process that wrote it. */
export interface HeardLine {
  readonly program: 'plugin' | 'keep' | 'standby'
  readonly pid: number
  readonly text: string
  readonly at: number
}

/** What a site is opened with. */
export interface SiteParts {
  /** Hears how a program ended by itself, which it is not to do. */
  readonly failed: (how: string) => void
  readonly heard: (line: HeardLine) => void
  /** Where the plugin's messages of sd_notify(3) go. */
  readonly notifySocket: string
}

/** A plugin, and all that serves its volumes, for a churn to break. */
export interface Site {
  /** The plugin's socket. */
  readonly socket: string
  /** The plugin's process now. */
  readonly pluginPid: number
  readonly scene: Scene
  /** What `dummy-fuse-csi status` needs to find the plugin's volumes. */
  readonly statusWords: readonly string[]
  /** Whether a daemon's process serves one volume. */
  readonly daemons: 'per-volume' | 'shared'
  /** What is done here. */
  readonly shares: readonly Share[]
  /** Whether a reader goes on when this is done. Where it does not, it gets ENOTCONN or ECONNABORTED. */
  survives(victim: Victim, deed: Deed): boolean
  /** The processes of one kind at this moment. */
  victims(victim: Victim): readonly ProcessStat[]
  /** The volume that a process serves, `all` where others depend on it, undefined if it serves none. */
  volumeOf(victim: Victim, stat: ProcessStat): string | undefined
  /** The end of the logs of all programs, or of those lines that hold a text. */
  log(text?: string): string
  /** What is there although no volume is staged or published: mounts, entries, records, descriptors, daemons. One line each. */
  leftovers(): Promise<readonly string[]>
  /** Ends all programs by SIGTERM. Resolves to what is there then. */
  stop(): Promise<readonly string[]>
}
