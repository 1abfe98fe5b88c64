import { daemonKilled } from './daemon-killed.ts'
import type { Failure } from './failure.ts'
import { pluginAgain, podsOf } from './pods.ts'

/** The first thing that an administrator tries: `kubectl delete pod`. */
export const podReplaced: Failure = {
  ...daemonKilled,
  id: 'pod-replaced',
  title: 'Daemon killed and a pod replaced',
  words:
    'The process that answers the kernel for the volume is killed (SIGKILL). If that is the plugin itself, it is started again. Then one pod is deleted and made anew: that of the consumer private, or else the first. The volume stays staged as long as other pods have it.',
  mend: async (harness) => {
    await pluginAgain(harness)
    await podsOf(harness).replaceOne()
  },
}
