import { type Failure, nothing } from './failure.ts'

/** The hand of an administrator. */
export const stagingUnmounted: Failure = {
  id: 'staging-unmounted',
  title: 'Staging path unmounted',
  words: 'The staging path is unmounted by hand (umount -l). The pods have binds of the same session.',
  strike: async ({ node, stagingPath, timeline }) => {
    timeline.note('node', 'failure', 'umount -l of the staging path')
    await node.unmount([stagingPath])
  },
  mend: nothing,
}
