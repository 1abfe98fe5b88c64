import { join } from 'node:path'

/** Where the one dummy-fused of `--daemons shared` has what it needs. */
export interface SharedDaemonPaths {
  /** The unix socket that it listens on. */
  readonly socket: string
  /** Its state folder. */
  readonly stateDir: string
}

/** The place below a plugin's state folder: the next plugin with that folder finds the same dummy-fused. */
export function sharedDaemonPaths(pluginStateDir: string): SharedDaemonPaths {
  return { socket: join(pluginStateDir, 'fused.sock'), stateDir: join(pluginStateDir, 'fused') }
}
