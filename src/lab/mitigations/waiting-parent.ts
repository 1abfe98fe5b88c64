import type { Mitigation } from './mitigation.ts'

/** The cure of blobfuse2 #1079 and #1081. */
export const waitingParent: Mitigation = {
  id: 'waiting-parent',
  title: 'Waiting parent',
  words: "Whoever starts a daemon waits until its mount answers, or for the daemon's end, and takes over what it says.",
  hosting: 'child',
  pluginFlags: ['--no-restore-mounts'],
  trustsDaemons: false,
}
