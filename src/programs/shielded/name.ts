import { readlinkSync, realpathSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { executedPath } from '../../os/processes/executed-path.ts'

/** How the names of the links begin that stand in the place of another program, whose name follows. */
export const SHIELDED = 'dummy-fuse-csi-shielded-'

/** As many as the kernel follows (path_resolution(7)). */
const MOST_LINKS = 40

/** The name of the program that this process was executed in the place of; undefined if it is none. */
export function shieldedName(): string | undefined {
  const executed = executedPath()
  return executed === undefined ? undefined : shieldedNameOf(executed)
}

/** The same of a file: it is called {@link SHIELDED} and a name, or is a symbolic link that leads by way of a file that is. */
export function shieldedNameOf(file: string): string | undefined {
  let at = resolve(file)
  for (let links = 0; links <= MOST_LINKS; links++) {
    const name = basename(at)
    if (name.startsWith(SHIELDED) && name !== SHIELDED) return name.slice(SHIELDED.length)
    try {
      // The folder may be a link too, as /bin is.
      at = resolve(realpathSync(dirname(at)), readlinkSync(at))
    } catch {
      // It is the file itself.
      return undefined
    }
  }
  return undefined
}
