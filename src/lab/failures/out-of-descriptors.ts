import { readdirSync } from 'node:fs'
import type { Failure } from './failure.ts'

/** EMFILE in the plugin and the daemons. */
export const outOfDescriptors: Failure = {
  id: 'out-of-descriptors',
  title: 'Out of descriptors',
  words: 'The plugin and the FUSE daemon may open no further file (RLIMIT_NOFILE); after a moment they may again.',
  strike: async ({ node, plugin, daemons, timeline }) => {
    timeline.note('node', 'failure', 'RLIMIT_NOFILE of plugin and daemon is lowered to what they have open')
    const pids = [...plugin.pids, ...daemons.pids]
    await node.shell(pids.map((pid) => `prlimit --pid ${pid} --nofile=${highest(pid) + 1}:`).join('\n'))
  },
  mend: async ({ node, plugin, daemons }) => {
    const pids = [...plugin.pids, ...daemons.pids]
    await node.shell(pids.map((pid) => `prlimit --pid ${pid} --nofile=65536:`).join('\n'))
  },
}

function highest(pid: number): number {
  return Math.max(...readdirSync(`/proc/${pid}/fd`).map(Number))
}
