import { lstatSync } from 'node:fs'
import { dirname } from 'node:path'
import type { CallContext } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import { isFuse, type MountTable } from '../os/mounts/mount-table.ts'
import { fromErrno, VolumeError } from './errors.ts'
import { walk } from './path-walk.ts'
import type { Reachability } from './reachability.ts'

/**
 * Gives each directory one name: follows the symbolic links of a path, and probes each FUSE mount on the way first. A link is followed only if root or
 * the plugin's own user made it and no other user can replace it (the kubelet's folder may be a link). No link is followed below an allowed root.
 */
export class PathResolver {
  readonly #table: MountTable
  readonly #reachability: Pick<Reachability, 'checkMount'>
  readonly #roots: readonly string[]

  /** `table` follows links above the last component. `roots`: the allowed ones, without links. */
  constructor(table: MountTable, reachability: Pick<Reachability, 'checkMount'>, roots: readonly string[]) {
    this.#table = table
    this.#reachability = reachability
    this.#roots = roots
  }

  /**
   * The path without symbolic links. `last`: whether a link at the path's end is followed. Throws VolumeError `precondition` for a link that must not be
   * followed, and for a path below a mount that does not answer.
   */
  async resolve(path: string, last: 'follow' | 'keep', call: CallContext): Promise<string> {
    let insideFuse: string | undefined
    const check = (link: string): void => {
      const why = insideFuse === undefined ? this.#distrust(link) : `lies on ${insideFuse}, a FUSE file system`
      if (why !== undefined)
        throw new VolumeError(
          'precondition',
          `${path} leads through the symbolic link ${link}, which ${why}; name the directory itself`,
        )
      insideFuse = undefined
    }
    const steps = walk(this.#table, path, { check, last })
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done === true) return step.value
      const { path: at, mount } = step.value
      await this.#reachability.checkMount(path, at, mount, call)
      insideFuse = isFuse(mount.fsType) ? at : undefined
    }
  }

  /** Why a link is not followed; undefined if it is. */
  #distrust(link: string): string | undefined {
    const root = this.#roots.find((one) => link.startsWith(`${one}/`))
    if (root !== undefined) return `lies below the allowed root ${root}`
    try {
      const [own, folder] = [lstatSync(link), lstatSync(dirname(link))]
      const sticky = (folder.mode & 0o1000) !== 0
      const groupWrites = (folder.mode & 0o020) !== 0 && folder.gid !== 0
      if (!isOurs(own.uid)) return `belongs to user ${own.uid}`
      if (!isOurs(folder.uid)) return `lies in a folder of user ${folder.uid}`
      return !sticky && (groupWrites || (folder.mode & 0o002) !== 0) ? 'lies in a folder that others may write to' : undefined
    } catch (error) {
      throw fromErrno(error, `cannot look at ${link}: ${messageOf(error)}`)
    }
  }
}

function isOurs(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.()
}
