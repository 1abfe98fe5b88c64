import type { Failure } from './failure.ts'

/** EMFILE in the plugin and the daemons. */
export const outOfDescriptors: Failure = {
  id: 'out-of-descriptors',
  title: 'Out of descriptors',
  words: 'The plugin and the FUSE daemon may open no further file (RLIMIT_NOFILE) for a moment.',
  strike: async ({ node, timeline }) => {
    timeline.note('node', 'failure', 'RLIMIT_NOFILE of plugin and daemon is lowered to what they have open')
    await node.limitDescriptors()
  },
  mend: async ({ node }) => {
    await node.liftDescriptorLimit()
  },
}
