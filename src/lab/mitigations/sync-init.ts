import type { Mitigation } from './mitigation.ts'

/** FUSE_DEV_IOC_SYNC_INIT, Linux 6.18. */
export const syncInit: Mitigation = {
  id: 'sync-init',
  title: 'Synchronous INIT',
  words: "The kernel's own cure in place of a waiting parent (Linux 6.18): mount(2) returns only when the daemon has answered.",
  hosting: 'child',
  pluginFlags: ['--no-restore-mounts', '--fuse-backend', 'session'],
  trustsDaemons: false,
}
