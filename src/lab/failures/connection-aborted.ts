import { until } from '../wait.ts'
import { type Failure, nothing } from './failure.ts'

/** Milliseconds that a daemon may take to see that its connection is gone. */
const NOTICE = 1000

/** Milliseconds that the keeper of a shield may take to end after the shield. As long as it runs, the plugin takes the session for alive. */
const KEEPER_NOTICE = 10_000

/** The kernel's own way of ending a session (Documentation/filesystems/fuse, "Control filesystem"). */
export const connectionAborted: Failure = {
  id: 'connection-aborted',
  title: 'Connection aborted',
  words: 'The FUSE connection of the volume is aborted through /sys/fs/fuse/connections.',
  strike: async ({ node, daemons, holders, timeline }) => {
    const connections = await node.abortConnections()
    const which = connections.length === 1 ? `connection ${connections[0]} is` : `connections ${connections.join(', ')} are`
    timeline.note('node', 'failure', `${which} aborted`)
    // A daemon of these connections alone ends when it has noticed. One that serves others goes on.
    await until('the daemon has noticed', async () => (await daemons.pids()).length === 0, NOTICE).catch(() => undefined)
    const isHeld = (): boolean => (holders?.pids().length ?? 0) > 0
    await until('what holds the connection has noticed', () => !isHeld(), KEEPER_NOTICE).catch(() => undefined)
  },
  mend: nothing,
}
