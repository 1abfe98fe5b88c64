import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Libc } from '../../os/libc.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { PLUGIN_FOLDER } from '../node-paths.ts'
import { WrittenFiles } from '../own-root.ts'
import type { DriverSpec } from './spec.ts'

/** Where systemd writes, and mount(8). */
const OF_SYSTEMD = [
  ...['/run/systemd', '/run/log', '/run/dbus', '/run/udev', '/run/credentials', '/run/mount'],
  ...['/var/log/journal', '/var/lib/systemd'],
]

/** What is written on the node of a driver. Made before anything runs there. */
export function writtenOnNode({ systemd }: DriverSpec, libc: Libc): WrittenFiles {
  return new WrittenFiles(libc, systemd ? OF_SYSTEMD : [])
}

/**
 * Makes what a driver finds on its node, which has a root of its own: the folder of its state, and that of its socket. The machine may have a socket
 * at that path; the node has none. Throws SystemError that names the path.
 */
export function makeDriverFolders({ socket }: DriverSpec): void {
  makeDirectories(PLUGIN_FOLDER)
  makeDirectories(dirname(socket))
  rmSync(socket, { force: true })
}
