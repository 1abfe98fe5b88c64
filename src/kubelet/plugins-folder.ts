import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs'
import { codeOf, messageOf } from '../errors.ts'
import { fdinfoField } from '../os/descriptors/fdinfo.ts'
import { makeDirectories } from '../os/mounts/directories.ts'
import { readMountinfo } from '../os/mounts/mountinfo.ts'

/**
 * The kubelet's folder plugins_registry. The kubelet watches the folder that was there when it started, by inode (inotify(7)). It sees nothing
 * in a folder that was made in its place. As long as our descriptor is open no other folder has the inode. In a container the folder is the root of a
 * mount, which stays the same when the node's folder is moved or removed; the mount table has the new path of that root.
 */
export class PluginsFolder implements Disposable {
  readonly #path: string
  #watched: Watched

  /** Makes the folder if it is missing, as the kubelet does at its start. Throws Node's error. */
  constructor(path: string) {
    makeDirectories(path, 0o750)
    this.#path = path
    this.#watched = open(path)
  }

  /** To be called when the kubelet has found a socket in the folder: the folder that is there now is the one that it watches. */
  seen(): void {
    const former = this.#watched
    try {
      this.#watched = open(this.#path)
      closeSync(former.fd)
    } catch {
      // It is gone again, as unseen() will tell.
    }
  }

  /** Why the kubelet does not see a socket that is in the folder now, and what to do; undefined if it does, as far as can be told. */
  unseen(): string | undefined {
    try {
      const { dev, ino, nlink } = statSync(this.#path, { bigint: true })
      if (dev !== this.#watched.dev || ino !== this.#watched.ino)
        return `the folder ${this.#path} was replaced, and the kubelet watches the former one; restart the kubelet`
      if (nlink > 0n && mountRootOf(this.#watched.fd) === this.#watched.mountRoot) return undefined
      return `the folder ${this.#path} was removed or moved on the node, and this container has the former one; restart the kubelet, then this container`
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR')
        return `the folder ${this.#path} was removed, and the kubelet sees no plugin any more; restart the kubelet`
      return `cannot look at the folder ${this.#path}: ${messageOf(error)}; repair it, or the kubelet may not see the plugin`
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#watched.fd)
  }
}

/** A folder that is open, and what tells it from another one at its path. */
interface Watched {
  readonly fd: number
  readonly dev: bigint
  readonly ino: bigint
  /** See {@link mountRootOf}. */
  readonly mountRoot: string | undefined
}

function open(path: string): Watched {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  const { dev, ino } = fstatSync(fd, { bigint: true })
  return { fd, dev, ino, mountRoot: mountRootOf(fd) }
}

/**
 * The root of the mount that a descriptor is in: a path in the mount's file system, which follows renames (proc_pid_mountinfo(5), field 4). Undefined if the
 * kernel does not tell.
 */
function mountRootOf(fd: number): string | undefined {
  const mount = Number(fdinfoField('mnt_id', fd))
  return readMountinfo().find(({ id }) => id === mount)?.root
}
