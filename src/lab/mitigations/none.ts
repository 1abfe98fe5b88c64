import type { Mitigation } from './mitigation.ts'

/** The plugin without any mitigation. */
export const none: Mitigation = {
  id: 'none',
  title: 'None',
  words:
    "FUSE daemons run in the plugin's container and end with it. Nothing is restored. A daemon that returns with status 0 counts as mounted.",
  hosting: 'child',
  pluginFlags: ['--no-restore-mounts'],
  trustsDaemons: true,
}
