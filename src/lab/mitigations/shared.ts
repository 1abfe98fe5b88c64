import type { Mitigation } from './mitigation.ts'

/** One daemon for all volumes, with the plugin's lifetime. */
export const shared: Mitigation = {
  id: 'shared',
  title: 'Restore, one daemon',
  words:
    "One daemon in the plugin's container serves all volumes, which needs less memory. Mounts are restored. A crash of the daemon reaches every volume.",
  hosting: 'child-shared',
  pluginFlags: ['--restore-mounts'],
  trustsDaemons: false,
}
