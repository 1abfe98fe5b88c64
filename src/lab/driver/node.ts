import { existsSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { COVER } from '../namespaces.ts'
import { KUBELET, PLUGIN_FOLDER } from '../node-paths.ts'
import { runShell } from '../shell.ts'
import type { DriverSpec } from './spec.ts'

/**
 * Makes what a driver finds on its private node: the folder of its state, and that of its socket, which no other node and not the machine has.
 * Rejects with an Error that says what to do.
 */
export async function makeDriverFolders({ socket }: DriverSpec): Promise<void> {
  makeDirectories(PLUGIN_FOLDER)
  const { existing, missing } = split(dirname(socket))
  const path = join(existing, ...missing)
  if (existing !== KUBELET && !existing.startsWith(`${KUBELET}/`)) {
    if (existing === '/' && missing.length === 0)
      throw new Error(
        `socket is in ${dirname(socket)}, which is / of this machine; say a path in a folder below /run or ${KUBELET}`,
      )
    if (existing === '/')
      throw new Error(
        `socket is in ${path}, which this machine does not have, and the lab makes no folder in /; make it (mkdir /${missing[0] ?? ''}), or have the socket below ${KUBELET}`,
      )
    const { status, output } = await runShell(
      [],
      `set -e\n${COVER}\ncover '${existing.replaceAll("'", `'\\''`)}' '${basename(socket).replaceAll("'", `'\\''`)}'`,
    )
    if (status !== 0) throw new Error(`cannot make the folder of the socket, ${path}: ${output}`)
  }
  makeDirectories(path)
}

/** A folder as the nearest one above that exists, without symbolic links, and the names below that are missing. */
function split(folder: string): { readonly existing: string; readonly missing: readonly string[] } {
  const missing: string[] = []
  let at = folder
  for (; !existsSync(at); at = dirname(at)) missing.unshift(basename(at))
  return { existing: realpathSync(at), missing }
}
