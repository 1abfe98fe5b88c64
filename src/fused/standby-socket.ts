import { join } from 'node:path'

/** Where a standby takes messages of sd_notify(3) from its daemon: a path in the daemon's state folder, which only root can reach. */
export function standbySocket(stateDir: string): string {
  return join(stateDir, 'standby.sock')
}

/** The name (FDNAME) of what a daemon introduces itself by: the end to read of a pipe that hangs up when it is gone. */
export const DAEMON = 'daemon'
