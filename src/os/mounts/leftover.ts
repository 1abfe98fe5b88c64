import { detachLayers } from './detaching.ts'
import { type Libc, MNT_DETACH } from '../libc.ts'
import { isFuse, type MountTable } from './mount-table.ts'
import { probe } from './probe.ts'

/** Unmounts every layer above the super block `before`. For a caller that was the only one to mount at the path, when no further mount can appear. */
export function detachUnless(libc: Libc, path: string, before: string | undefined): void {
  detachLayers(libc, path, (device) => device !== before)
}

/**
 * Takes off the dead FUSE mounts that have come to a path since: what a daemon that was killed leaves. What another daemon has mounted
 * there meanwhile answers, and stays.
 */
export async function detachDead(table: MountTable, libc: () => Libc, path: string, before: string | undefined): Promise<void> {
  for (;;) {
    const state = table.at(path)
    if (state.kind !== 'mount' || state.mount.device === before || !isFuse(state.mount.fsType)) return
    if ((await probe(path)).kind !== 'dead') return
    libc().umount(path, MNT_DETACH)
  }
}
