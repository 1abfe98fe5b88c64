import { readFileSync } from 'node:fs'
import { stagingPath } from '../node-paths.ts'
import { parseMountinfo, topmostAt } from '../../os/mountinfo.ts'

import { type Failure, nothing } from './failure.ts'

/** The kernel's own way of ending a session (Documentation/filesystems/fuse, "Control filesystem"). */
export const connectionAborted: Failure = {
  id: 'connection-aborted',
  title: 'Connection aborted',
  words: "Somebody aborts the volume's FUSE connection through /sys/fs/fuse/connections.",
  strike: async ({ node, volume, timeline }) => {
    const mount = topmostAt(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')), stagingPath(volume.pv))
    if (mount === undefined) throw new Error(`nothing is mounted at ${stagingPath(volume.pv)}`)
    const [, minor = ''] = mount.device.split(':')
    timeline.note('node', 'failure', `connection ${minor} is aborted`)
    await node.shell(`mountpoint -q /sys/fs/fuse/connections || mount -n -t fusectl none /sys/fs/fuse/connections
echo 1 > /sys/fs/fuse/connections/${minor}/abort`)
  },
  mend: nothing,
}
