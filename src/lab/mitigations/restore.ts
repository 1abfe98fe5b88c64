import type { Mitigation } from './mitigation.ts'

/** The seed's first mitigation. */
export const restore: Mitigation = {
  id: 'restore',
  title: 'Restore mounts',
  words: 'When the plugin starts, it mounts again what it had mounted: staging paths and targets.',
  hosting: 'child',
  pluginFlags: ['--restore-mounts'],
  trustsDaemons: true,
}
