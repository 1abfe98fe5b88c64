import { type Failure, nothing } from './failure.ts'

/** The hand of an administrator, or a clean-up that went too far. */
export const targetUnmounted: Failure = {
  id: 'target-unmounted',
  title: 'Targets unmounted',
  words: 'The targets of the pods are unmounted on the node by hand (umount -l).',
  strike: async ({ node, consumers, timeline }) => {
    const targets = consumers.filter(({ kind, started }) => kind.volume === 'struck' && started).map(({ target }) => target)
    timeline.note('node', 'failure', 'umount -l of every target of the volume')
    await node.unmount(targets)
  },
  mend: nothing,
}
