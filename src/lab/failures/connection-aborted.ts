import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { KUBELET, stagingPath } from '../node-paths.ts'
import { parseMountinfo, topmostAt } from '../../os/mounts/mountinfo.ts'

import { until } from '../wait.ts'
import { type Failure, nothing } from './failure.ts'

/** Milliseconds that a daemon may take to see that its connection is gone. */
const NOTICE = 1000

/** The kernel's own way of ending a session (Documentation/filesystems/fuse, "Control filesystem"). */
export const connectionAborted: Failure = {
  id: 'connection-aborted',
  title: 'Connection aborted',
  words: "The volume's FUSE connection is aborted through /sys/fs/fuse/connections.",
  strike: async ({ node, volume, daemons, timeline }) => {
    const mount = topmostAt(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')), stagingPath(volume.pv))
    if (mount === undefined) throw new Error(`nothing is mounted at ${stagingPath(volume.pv)}`)
    const [, minor = ''] = mount.device.split(':')
    timeline.note('node', 'failure', `connection ${minor} is aborted`)
    // A container's /sys may lack the folder for it.
    const control = join(KUBELET, 'tmp/fusectl')
    await node.shell(`mkdir -p ${control}; mount -n -t fusectl none ${control}; echo 1 > ${control}/${minor}/abort`)
    // A daemon of this one connection ends when it has noticed. One that serves others goes on.
    await until('the daemon has noticed', () => daemons.pids.length === 0, NOTICE).catch(() => undefined)
  },
  mend: nothing,
}
