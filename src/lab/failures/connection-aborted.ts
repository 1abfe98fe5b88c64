import { until } from '../wait.ts'
import { type Failure, nothing } from './failure.ts'

/** Milliseconds that a daemon may take to see that its connection is gone. */
const NOTICE = 1000

/** The kernel's own way of ending a session (Documentation/filesystems/fuse, "Control filesystem"). */
export const connectionAborted: Failure = {
  id: 'connection-aborted',
  title: 'Connection aborted',
  words: "The volume's FUSE connection is aborted through /sys/fs/fuse/connections.",
  strike: async ({ node, daemons, timeline }) => {
    const connection = await node.abortConnection()
    timeline.note('node', 'failure', `connection ${connection} is aborted`)
    // A daemon of this one connection ends when it has noticed. One that serves others goes on.
    await until('the daemon has noticed', async () => (await daemons.pids()).length === 0, NOTICE).catch(() => undefined)
  },
  mend: nothing,
}
