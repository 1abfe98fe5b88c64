import { rmdirSync } from 'node:fs'
import { codeOf, errnoText, messageOf } from '../errors.ts'
import { type Libc, MNT_DETACH } from '../os/libc.ts'
import { makeDirectories, removeDirectories, type Within } from '../os/mounts/directories.ts'
import { isFuse, type Mount } from '../os/mounts/mount-table.ts'
import type { PinnedPaths } from '../os/mounts/pinned-paths.ts'
import { removeMountPoint } from '../os/mounts/removed-mount-point.ts'
import { fromErrno, VolumeError } from './errors.ts'
import type { MountStates } from './mount-states.ts'

/** The most mounts on top of each other that are unmounted at one path. */
const MOST_LAYERS = 64

/** Makes and removes the directories that volumes are mounted on, and unmounts what is mounted there. Follows no symbolic link. */
export class MountPoints {
  readonly #libc: Libc
  readonly #pinnedPaths: PinnedPaths
  readonly #within: Within
  readonly #states: Pick<MountStates, 'mountAt' | 'isOwn'>

  constructor(libc: Libc, pinnedPaths: PinnedPaths, states: Pick<MountStates, 'mountAt' | 'isOwn'>) {
    this.#libc = libc
    this.#pinnedPaths = pinnedPaths
    this.#within = (path, act) => pinnedPaths.within(path, act)
    this.#states = states
  }

  /** Makes a directory with its parents. Returns the first that it made, undefined if all were there. Throws VolumeError. */
  makeDirectory(path: string): string | undefined {
    try {
      return makeDirectories(path, 0o750, this.#within)
    } catch (error) {
      throw fromErrno(error, `cannot make the directory ${path}: ${messageOf(error)} (${codeOf(error) ?? 'no errno'})`)
    }
  }

  /** Removes the directories that {@link makeDirectory} made for a path, `made` being the first, as far as they are empty. */
  removeMade(path: string, made: string): void {
    removeDirectories(path, made, this.#within)
  }

  /** Removes an empty directory without a mount. Does nothing if it is missing. Throws VolumeError `precondition` if it is not empty. */
  removeDirectory(path: string): void {
    try {
      this.#within(path, rmdirSync)
    } catch (error) {
      const code = codeOf(error)
      if (code === 'ENOENT') return
      if (code === 'ENOTEMPTY' || code === 'EEXIST') {
        throw new VolumeError(
          'precondition',
          `${path} holds files on the node's own disk, which belong to no volume; move them away`,
        )
      }
      throw fromErrno(error, `cannot remove ${path}: ${code === undefined ? messageOf(error) : errnoText(code)}`)
    }
  }

  /** Unmounts what is mounted on top of a session at a path, in any state. Rejects with VolumeError. */
  async unmountAbove(path: string, device: string): Promise<void> {
    for (let layer = 0; layer < MOST_LAYERS; layer++) {
      const mount = this.#states.mountAt(path)
      if (mount === undefined || mount.device === device) return
      await this.#unmount(path, mount)
    }
  }

  /**
   * Unmounts every layer at a path, in any state; a busy or dead one is detached. `which`: sessions of this plugin only, or mounts of any kind. Rejects
   * with VolumeError for a layer that it must not or cannot unmount.
   */
  async unmountAll(path: string, which: 'own' | 'any'): Promise<void> {
    for (let layer = 0; layer < MOST_LAYERS; layer++) {
      const mount = this.#states.mountAt(path)
      if (mount === undefined) return
      if (which !== 'any' && !this.#states.isOwn(path, mount)) {
        throw new VolumeError(
          'precondition',
          `${path} is a mount point of ${mount.fsType} (${mount.source}), which this plugin has not mounted; unmount it by hand (umount ${path})`,
        )
      }
      await this.#unmount(path, mount)
    }
    throw new VolumeError('internal', `${path} has more than ${MOST_LAYERS} mounts on top of each other; unmount them by hand`)
  }

  /**
   * Removes the directory of a path with the `count` mounts on it. No unmount propagates, so the peers of these mounts keep what lies on them. Returns why it
   * cannot, as words for people; undefined if it has.
   */
  removeMountPoint(path: string, count: number): string | undefined {
    try {
      removeMountPoint(this.#libc, this.#pinnedPaths, path, count)
      return undefined
    } catch (error) {
      return messageOf(error)
    }
  }

  async #unmount(path: string, mount: Mount): Promise<void> {
    // A plain umount2(2) of a hung FUSE file system waits for it; with MNT_DETACH it returns at once.
    const flags = isFuse(mount.fsType) ? MNT_DETACH : 0
    try {
      await this.#umount(path, flags)
    } catch (error) {
      if (codeOf(error) !== 'EBUSY') throw fromErrno(error, `cannot unmount ${path}: ${messageOf(error)}`)
      await this.#umount(path, MNT_DETACH)
    }
  }

  async #umount(path: string, flags: number): Promise<void> {
    await this.#pinnedPaths.withinAsync(path, async (name) => {
      await this.#libc.umountAsync(name, flags)
    })
  }
}
