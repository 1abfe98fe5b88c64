import type { Mitigation } from './mitigation.ts'

/** The first mitigation of the original project. */
export const restore: Mitigation = {
  id: 'restore',
  title: 'Restore mounts',
  words: 'When the plugin starts, it mounts the volumes of its mount cache again, at their staging paths and targets.',
  hosting: 'child',
  pluginFlags: ['--restore-mounts'],
  trustsDaemons: true,
}
