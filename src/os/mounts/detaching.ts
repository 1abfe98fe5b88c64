import { codeOf } from '../../errors.ts'
import { type Libc, MNT_DETACH } from '../libc.ts'
import { deviceAt, MountinfoTable, openMountTable } from './mount-table.ts'
import { PinnedPaths } from './pinned-paths.ts'

/**
 * Unmounts the topmost layer of a path, also while it is in use (umount2(2), MNT_DETACH), for as long as `isWanted` returns true for its super block.
 * Follows no symbolic link: at a path with a link there is no mount of this program. Throws SystemError.
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
