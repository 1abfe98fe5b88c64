import { closeSync, constants, openSync } from 'node:fs'
import { messageOf, ProgramError } from '../../errors.ts'
import type { Libc } from '../libc.ts'
import { O_PATH } from './pinned-paths.ts'

/** include/uapi/linux/sched.h. */
const CLONE_FS = 0x200
const CLONE_NEWNS = 0x20000

/** The mount namespace of the calling thread (proc_pid_ns(5)); those of other threads are not touched. */
const OWN_NAMESPACE = '/proc/thread-self/ns/mnt'

/** A namespace, and a thread's root and working directory in it, by descriptors. */
interface Place {
  readonly namespace: number
  readonly root: number
  readonly workingDirectory: number
}

/**
 * A copy of this thread's mount namespace (unshare(2), CLONE_NEWNS), in which mounts can be changed that are covered here. A mount of the copy is in
 * the peer group of the mount that it was copied from: what is mounted on it or unmounted from it there is so here too, unless it was made private.
 * The copy ends when it is disposed, and with the process, without any effect here. The thread is in it only during {@link within}.
 */
export class NamespaceCopy implements Disposable {
  readonly #libc: Libc
  readonly #descriptors: number[] = []
  readonly #own: Place
  readonly #copy: Place

  /** Throws SystemError: EPERM where this process may not make a namespace, or could not leave it again. */
  constructor(libc: Libc) {
    this.#libc = libc
    try {
      this.#own = this.#here()
      // Whether the way back is open is tried before the way out. setns(2) refuses a thread that shares its root with other threads.
      this.#unshare(CLONE_FS)
      this.#go(this.#own)
      this.#unshare(CLONE_NEWNS)
      try {
        this.#copy = this.#here()
      } finally {
        this.#leave()
      }
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
  }

  /** Calls `act` with this thread in the copy. `act` must not wait. Throws what it throws. */
  within<T>(act: () => T): T {
    try {
      this.#go(this.#copy)
      return act()
    } finally {
      this.#leave()
    }
  }

  [Symbol.dispose](): void {
    for (const fd of this.#descriptors.splice(0)) closeSync(fd)
  }

  #here(): Place {
    const open = (path: string, flags: number): number => {
      const fd = openSync(path, flags)
      this.#descriptors.push(fd)
      return fd
    }
    return {
      namespace: open(OWN_NAMESPACE, constants.O_RDONLY),
      root: open('/', O_PATH | constants.O_DIRECTORY),
      workingDirectory: open('.', O_PATH | constants.O_DIRECTORY),
    }
  }

  #unshare(flags: number): void {
    this.#libc.checked('unshare', undefined, 'int unshare(int)', flags)
  }

  /** setns(2) makes the root of the namespace the root and the working directory of the thread. */
  #go({ namespace, root, workingDirectory }: Place): void {
    const changeTo = (fd: number): number => this.#libc.checked('fchdir', undefined, 'int fchdir(int)', fd)
    this.#libc.checked('setns', undefined, 'int setns(int, int)', namespace, CLONE_NEWNS)
    changeTo(root)
    this.#libc.checked('chroot', undefined, 'int chroot(str)', '.')
    changeTo(workingDirectory)
  }

  #leave(): void {
    try {
      this.#go(this.#own)
    } catch (error) {
      // What this process mounted in the copy would be gone with it.
      queueMicrotask(() => {
        throw new ProgramError(`cannot return to the mount namespace of this process, which ends: ${messageOf(error)}`, 1, {
          cause: error,
        })
      })
      throw error
    }
  }
}
