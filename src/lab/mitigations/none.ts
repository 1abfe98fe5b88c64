import type { Mitigation } from './mitigation.ts'

/** The plugin as it would be without any care. */
export const none: Mitigation = {
  id: 'none',
  title: 'None',
  words:
    "FUSE daemons live in the plugin's container and go with it. Nothing is restored, and the word of a daemon that returns is trusted.",
  hosting: 'child',
  pluginFlags: ['--no-restore-mounts'],
  trustsDaemons: true,
}
