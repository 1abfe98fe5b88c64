import { daemonKilled } from './daemon-killed.ts'
import type { Failure } from './failure.ts'
import { pluginAgain, podsOf } from './pods.ts'

/** What it takes where a volume is mounted again only after its last pod has left. */
export const allPodsReplaced: Failure = {
  ...daemonKilled,
  id: 'all-pods-replaced',
  title: 'Daemon killed and all pods replaced',
  words:
    'The process that answers the kernel for the volume is killed (SIGKILL). If that is the plugin itself, it is started again. Then every pod is deleted, so that the volume leaves the node (NodeUnpublishVolume, NodeUnstageVolume). One pod is made anew, and when it has come, the others.',
  mend: async (harness) => {
    await pluginAgain(harness)
    await podsOf(harness).replaceAll()
  },
}
