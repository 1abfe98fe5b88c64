import { type Failure, nothing } from './failure.ts'

/** An update of what answers the kernel. */
export const daemonUpgraded: Failure = {
  id: 'daemon-upgraded',
  title: 'FUSE daemon upgraded',
  words: 'The process that answers the kernel is replaced by another version, in the best way that its host mode has.',
  strike: async ({ daemons, timeline }) => {
    timeline.note(
      'node',
      'failure',
      `another executable takes the place of the FUSE daemon, process ${(await daemons.pids()).join(', ')}`,
    )
    await daemons.upgrade()
  },
  mend: nothing,
}
