import { readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf } from '../../errors.ts'
import { fdinfoField } from '../descriptors/fdinfo.ts'
import type { Libc } from '../libc.ts'
import { DetachedMount } from './detached-mount.ts'

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
 * Aborts a connection, by its number, whether or not fusectl is mounted on this machine (Documentation/filesystems/fuse/fuse.rst): all of its requests fail, and what waits for
 * them in the kernel goes on. Does nothing if there is no such connection. Throws SystemError and Node's error.
 */
export function abortConnection(libc: Libc, connection: number): void {
  const control = DetachedMount.create(libc, { source: 'none', type: 'fusectl', flags: 0, data: '' })
  if (control === undefined) throw new Error('fsopen(2) is missing or forbidden')
  try {
    writeFileSync(join(control.path, String(connection), 'abort'), '1')
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  } finally {
    control.close()
  }
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
