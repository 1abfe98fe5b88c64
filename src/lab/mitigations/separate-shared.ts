import type { Mitigation } from './mitigation.ts'

/** One daemon for all volumes, which outlives the plugin. */
export const separateShared: Mitigation = {
  id: 'separate-shared',
  title: 'Separate, one daemon',
  words:
    "One daemon outside the plugin's container serves all volumes and survives the plugin. Mounts are restored. A crash of the daemon reaches every volume.",
  hosting: 'detached-shared',
  pluginFlags: ['--restore-mounts'],
  trustsDaemons: false,
}
