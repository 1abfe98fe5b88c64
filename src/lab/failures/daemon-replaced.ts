import { type Failure } from './failure.ts'

/** A daemon that hangs, and a plugin that has to do something about it for one more pod. */
export const daemonReplaced: Failure = {
  id: 'daemon-replaced',
  title: 'Daemon hung, a pod comes',
  words:
    'The process that answers the kernel is stopped (SIGSTOP) for 1.3 seconds. During that time the kubelet publishes the volume for one more pod, which the plugin cannot do without a daemon that answers.',
  hangs: true,
  untilPodComes: true,
  aim: ({ daemons }) => daemons.find?.(),
  strike: async ({ daemons, timeline }) => {
    timeline.note('node', 'failure', `SIGSTOP to the FUSE daemon, process ${(await daemons.pids()).join(', ')}`)
    await daemons.hang()
  },
  mend: async ({ daemons }) => {
    await daemons.resume()
  },
}
