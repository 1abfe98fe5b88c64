import { closeSync } from 'node:fs'
import { type Libc, MNT_DETACH } from '../libc.ts'
import { makePrivate } from './detached-bind.ts'
import { NamespaceCopy } from './namespace-copy.ts'
import type { PinnedPaths } from './pinned-paths.ts'

/**
 * The layers of a path between its lowest mount and a mount that is attached on top of them later. umount2(2) cannot unmount a mount that another
 * one is mounted on. An unmount that propagates can: it puts the upper mount on what is below (fs/pnode.c, propagate_umount). So the layers are unmounted in a copy of
 * the namespace, in which the topmost was made private before, so that the new mount does not come to it.
 */
export class CoveredLayers implements Disposable {
  readonly #libc: Libc
  readonly #pinnedPaths: PinnedPaths
  readonly #copy: NamespaceCopy
  readonly #path: string
  readonly #devices: readonly string[]

  /**
   * To be made before the new mount is attached. `devices`: the super blocks of the layers, the topmost first. Throws SystemError where the process may
   * not make a mount namespace, or the kernel is older than 5.12.
   */
  constructor(libc: Libc, pinnedPaths: PinnedPaths, path: string, devices: readonly string[]) {
    this.#pinnedPaths = pinnedPaths
    this.#path = path
    this.#devices = devices
    this.#libc = libc
    this.#copy = new NamespaceCopy(libc)
    try {
      this.#copy.within(() => {
        const top = pinnedPaths.open(path)
        try {
          if (!makePrivate(libc, top)) throw libc.lastError('mount_setattr', path)
        } finally {
          closeSync(top)
        }
      })
    } catch (error) {
      this.#copy[Symbol.dispose]()
      throw error
    }
  }

  /** To be called once the new mount is on top: takes off every layer but the lowest, also in the namespaces that they have propagated to. Throws SystemError. */
  takeOff(): void {
    this.#copy.within(() => {
      for (const device of this.#devices.slice(0, -1)) {
        // Another program has mounted or unmounted there meanwhile.
        if (this.#pinnedPaths.deviceAt(this.#path) !== device) return
        this.#pinnedPaths.within(this.#path, (name) => {
          this.#libc.umount(name, MNT_DETACH)
        })
      }
    })
  }

  [Symbol.dispose](): void {
    this.#copy[Symbol.dispose]()
  }
}
