import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/**
 * The FUSE connections that a process has a device of: the minor numbers of their super blocks, by the `fuse_connection` line of its
 * descriptors' fdinfo (fs/fuse/dev.c, fuse_dev_show_fdinfo). Undefined where the kernel does not tell, or the process may not be looked at.
 */
export function connectionsOf(pid: number): readonly number[] | undefined {
  try {
    const devices = readdirSync(`/proc/${pid}/fd`).filter((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === '/dev/fuse')
    const found = devices.map((fd) => /^fuse_connection:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1])
    if (devices.length > 0 && found.every((number) => number === undefined)) return undefined
    return found.filter((number) => number !== undefined).map(Number)
  } catch {
    // It ended, or closed a descriptor, in between.
    return undefined
  }
}
