import { type Failure, nothing } from './failure.ts'

/** The crash of what answers the kernel, while the plugin goes on. */
export const daemonKilled: Failure = {
  id: 'daemon-killed',
  title: 'FUSE daemon killed',
  words: 'The process that answers the kernel for the volume is killed (SIGKILL). The plugin keeps running.',
  aim: ({ daemons }) => daemons.find?.(),
  strike: async ({ daemons, timeline }) => {
    timeline.note('node', 'failure', `kill -9 of the FUSE daemon, process ${(await daemons.pids()).join(', ')}`)
    await daemons.kill()
  },
  mend: nothing,
}
