import type { Harness, HolderControl } from '../cell/harness.ts'
import { type Failure, nothing } from './failure.ts'

/** The crash of a supervisor that keeps the descriptor for the process that serves. */
export const holderKilled: Failure = {
  id: 'holder-killed',
  title: 'Holder killed',
  words:
    "Every process that only holds a descriptor of the volume's FUSE connection, such as a supervisor, is killed (SIGKILL). The process that answers the kernel keeps running.",
  aim: (harness) => holdersOf(harness).find(),
  strike: async (harness) => {
    const holders = holdersOf(harness)
    harness.timeline.note('node', 'failure', `SIGKILL to what only holds the connection, process ${holders.pids().join(', ')}`)
    await holders.kill()
  },
  mend: nothing,
}

function holdersOf({ holders }: Harness): HolderControl {
  if (holders === undefined) throw new Error('the lab does not know which processes hold a descriptor of this volume')
  return holders
}
