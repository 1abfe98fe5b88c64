import { readdirSync, readFileSync } from 'node:fs'
import type { Failure } from './failure.ts'

/** EMFILE in the plugin and the daemons. */
export const outOfDescriptors: Failure = {
  id: 'out-of-descriptors',
  title: 'Out of descriptors',
  words: 'The plugin and the FUSE daemon may open no further file (RLIMIT_NOFILE) for a moment.',
  strike: async ({ node, plugin, daemons, timeline }) => {
    timeline.note('node', 'failure', 'RLIMIT_NOFILE of plugin and daemon is lowered to what they have open')
    await node.shell([...plugin.pids, ...daemons.pids].map((pid) => `prlimit --pid ${pid} --nofile=${open(pid)}:`).join('\n'))
  },
  mend: async ({ node, plugin, daemons }) => {
    await node.shell([...plugin.pids, ...daemons.pids].map((pid) => `prlimit --pid ${pid} --nofile=${most(pid)}:`).join('\n'))
  },
}

/** One more than the highest descriptor: no further one can be had. */
function open(pid: number): number {
  return Math.max(...readdirSync(`/proc/${pid}/fd`).map(Number)) + 1
}

/** The hard limit (proc_pid_limits(5)). */
function most(pid: number): string {
  const [, hard = 'unlimited'] = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8')) ?? []
  return hard
}
