import { codeOf } from '../../errors.ts'
import { type Libc, MNT_DETACH } from '../libc.ts'
import { deviceAt, MountinfoTable, openMountTable } from './mount-table.ts'
import { PinnedPaths } from './pinned-paths.ts'

/**
 * Unmounts layer after layer of a path, also while they are in use (umount2(2), MNT_DETACH), as long as `isWanted` says so of the topmost one's super block. No
 * symbolic link is followed: where one has come onto the way, nothing of ours is at the path. Throws SystemError.
 */
export function detachLayers(libc: Libc, path: string, isWanted: (device: string) => boolean): void {
  const table = openMountTable(libc)
  try {
    new PinnedPaths(libc).within(path, (name) => {
      const at = table instanceof MountinfoTable ? path : name
      for (let now = deviceAt(table, at); now !== undefined && isWanted(now); now = deviceAt(table, at))
        libc.umount(name, MNT_DETACH)
    })
  } catch (error) {
    if (!['ELOOP', 'ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) throw error
  }
}
