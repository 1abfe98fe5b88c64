import { rmdirSync } from 'node:fs'
import { type Libc, MNT_DETACH, MS } from '../libc.ts'
import { NamespaceCopy } from './namespace-copy.ts'
import type { PinnedPaths } from './pinned-paths.ts'

/**
 * Removes an empty directory that `count` mounts lie on, and with it these mounts, in every namespace that has them there. No unmount propagates: a mount on top of
 * another one stays at the other peers and at the slaves of that one. rmdir(2) does so where the directory is a mount point in other namespaces alone (fs/namei.c,
 * vfs_rmdir; fs/namespace.c, __detach_mounts), so it is called in a copy of the namespace, in which all mounts are private and these were unmounted. Throws
 * SystemError where the process may not make a mount namespace or its root is no mount, and Node's error for a directory that is not empty; then all stays.
 */
export function removeMountPoint(libc: Libc, pinnedPaths: PinnedPaths, path: string, count: number): void {
  using copy = new NamespaceCopy(libc)
  copy.within(() => {
    libc.mount('none', '/', null, MS.REC | MS.PRIVATE, null)
    pinnedPaths.within(path, (name) => {
      for (let layer = 0; layer < count; layer++) libc.umount(name, MNT_DETACH)
      rmdirSync(name)
    })
  })
}
