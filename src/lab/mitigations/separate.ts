import type { Mitigation } from './mitigation.ts'

/** The seed's second mitigation. */
export const separate: Mitigation = {
  id: 'separate',
  title: 'Separate FUSE process',
  words: "FUSE daemons live outside of the plugin's container, and survive it; mounts are restored.",
  hosting: 'detached',
  pluginFlags: ['--restore-mounts'],
  trustsDaemons: true,
}
