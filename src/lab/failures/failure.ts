import type { Harness } from '../cell/harness.ts'
import type { Title } from '../matrix/lab-record.ts'

/** A failure on a node, and the repair that a real node gets by itself, under every mitigation. */
export interface Failure extends Title {
  readonly id: string
  /**
   * Flags that make the plugin flawed from its start: the failure strikes as the volume is mounted, and nobody reads before. `mountDelay`: see
   * {@link Patience}.
   */
  readonly flaw?: (mountDelay: number) => readonly string[]
  /** Mount flags of the volume that it needs. */
  readonly mountFlags?: readonly string[]
  /** At least so long, in milliseconds. */
  readonly lastsMs?: number
  /** Whether reads hang while it lasts: it lasts longer than a read may take that has not waited ({@link Patience}). */
  readonly hangs?: true
  /** Whether it lasts until a pod that is asked for meanwhile has come to the plugin. */
  readonly untilPodComes?: true
  /** Whether the plugin has to be a unit of systemd's. */
  readonly needsSystemd?: true
  /** Whether it strikes the storage, so that a consumer that writes meets it too. */
  readonly strikesStorage?: true
  /** Finds what it strikes, before it counts. Undefined if there is nothing to find. Rejects with an Error if it is not there. */
  aim?(harness: Harness): Promise<void> | undefined
  /** Makes it happen; resolves when it has. */
  strike(harness: Harness): Promise<void>
  /** Undoes it as far as the world does by itself: a controller starts the plugin again, a hung process goes on. */
  mend(harness: Harness): Promise<void>
}

/** For failures that nobody outside mends. */
export const nothing = (): Promise<void> => Promise.resolve()
