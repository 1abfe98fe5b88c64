import type { Mitigation } from './mitigation.ts'

/** The fix of blobfuse2 #1079 and #1081. */
export const waitingParent: Mitigation = {
  id: 'waiting-parent',
  title: 'Waiting parent',
  words: 'The process that starts a daemon waits until its mount answers or the daemon ends, and passes on its error.',
  hosting: 'child',
  pluginFlags: ['--no-restore-mounts'],
  trustsDaemons: false,
}
