import type { Failure } from './failure.ts'

/** A daemon that waits for its storage, or is being debugged. */
export const daemonHung: Failure = {
  id: 'daemon-hung',
  title: 'FUSE daemon hung',
  words: 'The process that answers the kernel is stopped (SIGSTOP) for 1.3 seconds, and then resumed.',
  // Longer than what counts as waiting (matrix/classify.ts), shorter than the 1.5 s for which the plugin's probe waits before it takes it for hung.
  lastsMs: 1300,
  strike: async ({ daemons, timeline }) => {
    timeline.note('node', 'failure', `SIGSTOP to the FUSE daemon, process ${daemons.pids.join(', ')}`)
    await daemons.hang()
  },
  mend: ({ daemons }) => {
    daemons.resume()
    return Promise.resolve()
  },
}
