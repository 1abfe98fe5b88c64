import type { Mitigation } from './mitigation.ts'

/** The second mitigation of the original project. */
export const separate: Mitigation = {
  id: 'separate',
  title: 'Separate FUSE process',
  words: "FUSE daemons run outside the plugin's container and survive it. Mounts are restored.",
  hosting: 'detached',
  pluginFlags: ['--restore-mounts'],
  trustsDaemons: true,
}
