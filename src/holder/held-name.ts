import { hash } from 'node:crypto'

/** The name (FDNAME) of the session of a mount point at a holder: the same in each container that has the mount point at this path. */
export function heldName(mountpoint: string): string {
  return hash('sha256', mountpoint).slice(0, 32)
}
