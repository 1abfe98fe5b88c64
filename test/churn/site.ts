import type { ProcessStat } from '../../src/os/processes.ts'
import type { Deed, Share, Victim } from './plan.ts'

/** A plugin, and all that serves its volumes, for a churn to break. */
export interface Site {
  /** The plugin's socket. */
  readonly socket: string
  /** What is done here. */
  readonly shares: readonly Share[]
  /** Whether a reader goes on when this is done. Where it does not, it gets ENOTCONN or ECONNABORTED. */
  survives(victim: Victim, deed: Deed): boolean
  /** The processes of one kind at this moment. */
  victims(victim: Victim): readonly ProcessStat[]
  /** The end of the logs of all programs, or of those lines that hold a text. */
  log(text?: string): string
  /** What is there although no volume is staged or published: mounts, entries, records, descriptors, daemons. One line each. */
  leftovers(): Promise<readonly string[]>
  /** Ends all programs by SIGTERM. Resolves to what is there then. */
  stop(): Promise<readonly string[]>
}
