import type { Mitigation } from './mitigation.ts'

/** fsmount(2) and move_mount(2), Linux 5.2; FUSE_DEV_IOC_SYNC_INIT (Linux 6.18) has the same effect on mount(2). */
export const syncInit: Mitigation = {
  id: 'sync-init',
  title: 'Sync INIT',
  words:
    "The kernel's own solution instead of a waiting parent (Linux 5.2): the mount comes to its path only after INIT is answered.",
  hosting: 'child',
  pluginFlags: ['--no-restore-mounts', '--fuse-backend', 'session'],
  trustsDaemons: false,
}
