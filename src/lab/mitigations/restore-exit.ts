import type { Mitigation } from './mitigation.ts'

/** The third demonstration of the original project. */
export const restoreExit: Mitigation = {
  id: 'restore-exit',
  title: 'Restore, consumers exit',
  words: 'Mounts are restored, and every consumer ends at its first error and is started again.',
  hosting: 'child',
  pluginFlags: ['--restore-mounts'],
  consumer: (kind) => ({ ...kind, exitsOnError: true }),
  trustsDaemons: true,
}
