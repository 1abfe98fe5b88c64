import { stagingPath } from '../node-paths.ts'
import { type Failure, nothing } from './failure.ts'

/** The hand of an administrator. */
export const stagingUnmounted: Failure = {
  id: 'staging-unmounted',
  title: 'Staging path unmounted',
  words: 'The staging path is unmounted by hand (umount -l). The pods have binds of the same session.',
  strike: async ({ node, volume, timeline }) => {
    timeline.note('node', 'failure', 'umount -l of the staging path')
    await node.shell(`umount -n -l ${stagingPath(volume.pv)}`)
  },
  mend: nothing,
}
