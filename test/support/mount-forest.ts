import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { mount, umountLazily } from './mounts.ts'
import type { Sandbox } from './sandbox.ts'

/** Mounts of others in our mount namespace: binds of one tmpfs, all below one directory, which take one umount to go. */
export class MountForest implements Disposable {
  readonly path: string
  /** `count`: mounts, one for the tmpfs itself included. A tree of 2^n mounts is made by n recursive binds of what is there so far. */
  constructor(sandbox: Sandbox, count: number) {
    this.path = sandbox.directory('others')
    mount('-t', 'tmpfs', 'others', this.path)
    try {
      for (let bit = 0; 2 ** bit < count; bit++) if (((count - 1) & (2 ** bit)) !== 0) this.#tree(bit)
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
  }

  #tree(doublings: number): void {
    const root = join(this.path, String(doublings))
    mkdirSync(root)
    mount('--bind', root, root)
    for (let index = 0; index < doublings; index++) {
      const branch = join(root, String(index))
      mkdirSync(branch)
      mount('--rbind', root, branch)
    }
  }

  [Symbol.dispose](): void {
    umountLazily(this.path)
  }
}
