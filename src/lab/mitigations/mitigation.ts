import type { ConsumerKind } from '../matrix/consumers.ts'
import type { Title } from '../matrix/lab-record.ts'

/**
 * Where FUSE sessions are served: `child`, by daemons of the plugin's own container; `detached`, by daemons outside of it, in both cases one for
 * each volume; `child-shared` and `detached-shared`, by one daemon for all volumes; `systemd` and `keep`, by dummy-fused, whose descriptors
 * systemd or the keeper holds.
 */
export type Hosting = 'child' | 'detached' | 'child-shared' | 'detached-shared' | 'systemd' | 'keep'

/** Something that is done against failures. */
export interface Mitigation extends Title {
  readonly id: string
  readonly hosting: Hosting
  /** The plugin's flags beside those of the hosting. */
  readonly pluginFlags: readonly string[]
  /** How a consumer lives under it, if otherwise. */
  readonly consumer?: (kind: ConsumerKind) => ConsumerKind
  /** Whether the node agent asks for the volume's health, and restarts its consumers when it cannot be reached. */
  readonly watchesHealth?: true
  /** Whether daemons that return before they have mounted are trusted, as without any care; only a flawed plugin's are otherwise not. */
  readonly trustsDaemons: boolean
}
