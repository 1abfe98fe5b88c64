import type { Failure } from './failure.ts'

/** A daemon that waits for its storage, or is being debugged. */
export const daemonHung: Failure = {
  id: 'daemon-hung',
  title: 'FUSE daemon hung',
  words: 'The process that answers the kernel is stopped (SIGSTOP) for 1.3 seconds, and then resumed.',
  // On a private node 1.3 s: longer than what counts as waiting, shorter than the 1.5 s after which the plugin's probe takes the daemon for hung.
  hangs: true,
  aim: ({ daemons }) => daemons.find?.(),
  strike: async ({ daemons, timeline }) => {
    timeline.note('node', 'failure', `SIGSTOP to the FUSE daemon, process ${(await daemons.pids()).join(', ')}`)
    await daemons.hang()
  },
  mend: async ({ daemons }) => {
    await daemons.resume()
  },
}
