import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { PLUGIN_FOLDER } from '../node-paths.ts'
import type { DriverSpec } from './spec.ts'

/**
 * Makes what a driver finds on its node, which has a root of its own: the folder of its state, and that of its socket. The machine may have a socket
 * at that path; the node has none. Throws SystemError that names the path.
 */
export function makeDriverFolders({ socket }: DriverSpec): void {
  makeDirectories(PLUGIN_FOLDER)
  makeDirectories(dirname(socket))
  rmSync(socket, { force: true })
}
