import { type Libc, MNT_DETACH } from './libc.ts'
import type { MountTable } from './mount-table.ts'

/** The super block that is topmost at a path now, or none: what {@link detachUnless} compares with later. */
export function deviceAt(table: MountTable, path: string): string | undefined {
  const state = table.at(path)
  return state.kind === 'mount' ? state.mount.device : undefined
}

/**
 * Takes off what has come to a path since: every layer above the super block `before`. For after the death of a daemon that had been
 * mounting there, when no further mount can land.
 */
export function detachUnless(table: MountTable, libc: Libc, path: string, before: string | undefined): void {
  for (let now = deviceAt(table, path); now !== undefined && now !== before; now = deviceAt(table, path)) {
    libc.umount(path, MNT_DETACH)
  }
}
