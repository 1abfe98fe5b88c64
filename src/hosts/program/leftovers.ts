import { messageOf } from '../../errors.ts'
import { type Libc, MNT_DETACH } from '../../os/libc.ts'
import { mountsOfDevice, readMountinfo } from '../../os/mounts/mountinfo.ts'

/**
 * Unmounts each mount of these super blocks (`major:minor`) in this mount namespace, wherever it is: a program may have followed a link that was put in the place of
 * its mount point. For super blocks of which no other program has a mount. Throws Error that names the first that it cannot unmount.
 */
export function detachEverywhere(libc: Libc, devices: readonly string[]): void {
  const failures: string[] = []
  for (const device of devices) {
    const lines = readMountinfo()
    // The last mounted first: it may lie on another one.
    for (const { mountPoint } of mountsOfDevice(lines, device).toReversed()) {
      try {
        libc.umount(mountPoint, MNT_DETACH)
      } catch (error) {
        failures.push(messageOf(error))
      }
    }
  }
  const [first] = failures
  if (first !== undefined) throw new Error(first)
}
