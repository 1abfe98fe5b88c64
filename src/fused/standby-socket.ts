import { dirname, join } from 'node:path'

/** Where a standby takes messages of sd_notify(3) from its daemon: a path in the daemon's state folder, which only root can reach. */
export function standbySocket(stateDir: string): string {
  return join(stateDir, 'standby.sock')
}

/** The name (FDNAME) of the read end of a pipe that a daemon sends first. The pipe hangs up when the daemon ends. */
export const DAEMON = 'daemon'

/**
 * The name (FDNAME) of the end to write of a pipe that comes before STOPPING=1. The standby writes a byte into it once it serves, and closes it: a
 * standby that ends instead closes it without a byte.
 */
export const HANDOVER = 'handover'

/** Where a successor takes in what a standby has, beside the standby's own socket. */
export function fetchSocket(standby: string): string {
  return join(dirname(standby), 'fetch.sock')
}
