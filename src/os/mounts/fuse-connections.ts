import { readdirSync, readlinkSync } from 'node:fs'
import { fdinfoField } from '../descriptors/fdinfo.ts'

/**
 * The connection that a device of a process belongs to: the minor number of its mounts' super block, and its folder's name below
 * /sys/fs/fuse/connections. Undefined before mount(2) has come to it, and on kernels that do not tell (fs/fuse/dev.c, fuse_dev_show_fdinfo).
 * Unlike a read, it never waits for a mount. Throws Node's error for a descriptor that there is not.
 */
export function connectionOf(fd: number, pid: number | 'self' = 'self'): number | undefined {
  const number = fdinfoField('fuse_connection', fd, pid)
  return number === undefined ? undefined : Number(number)
}

/**
 * The FUSE connections that a process has a device of, as {@link connectionOf} tells them. Undefined where the kernel does not tell, or the
 * process may not be looked at.
 */
export function connectionsOf(pid: number): readonly number[] | undefined {
  try {
    const devices = readdirSync(`/proc/${pid}/fd`).filter((fd) => isFuseDevice(readlinkSync(`/proc/${pid}/fd/${fd}`)))
    const found = devices.map((fd) => connectionOf(Number(fd), pid))
    if (devices.length > 0 && found.every((number) => number === undefined)) return undefined
    return found.filter((number) => number !== undefined)
  } catch {
    // It ended, or closed a descriptor, in between.
    return undefined
  }
}

/**
 * Whether a link of /proc/PID/fd may lead to /dev/fuse. One that was opened in a mount namespace that is gone, such as that of a container that has ended, is shown as
 * `/fuse`: the path from the root of a file system that is mounted nowhere any more.
 */
export function isFuseDevice(link: string): boolean {
  return link.endsWith('/fuse')
}
