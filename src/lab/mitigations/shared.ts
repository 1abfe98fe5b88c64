import type { Mitigation } from './mitigation.ts'

/** One daemon for all volumes, with the plugin's lifetime. */
export const shared: Mitigation = {
  id: 'shared',
  title: 'Restore, one daemon',
  words:
    "Mounts are restored, and one daemon in the plugin's container serves all volumes. It needs less memory, and its crash reaches every volume.",
  hosting: 'child-shared',
  pluginFlags: ['--restore-mounts'],
  trustsDaemons: false,
}
