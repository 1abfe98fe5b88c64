import { closeSync, fsync, openSync } from 'node:fs'
import { promisify } from 'node:util'
import { naming } from '../../errors.ts'

/**
 * Syncs a folder, after which its renames and removals are on the disk (fsync(2)), in a thread of libuv's pool. Callers that wait at the same
 * time share one sync: the disk takes as long for many changes as for one.
 */
export class FolderSync {
  readonly #folder: string
  /** Changes so far, and how many of them are on the disk. */
  #changes = 0
  #synced = 0
  #running: Promise<void> | undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  /** The folder was changed: {@link synced} waits until that is on the disk. */
  change(): void {
    this.#changes++
  }

  /**
   * Resolves when all changes so far are on the disk; at once if there are none. Rejects with Node's error or SystemError, which names the
   * folder; the changes still wait to be synced then.
   */
  async synced(): Promise<void> {
    const wanted = this.#changes
    while (this.#synced < wanted) {
      // A sync that has begun may have been too early for the newest change.
      if (this.#running === undefined) await this.#begin()
      else await this.#running.catch(() => undefined)
    }
  }

  async #begin(): Promise<void> {
    const changes = this.#changes
    this.#running = sync(this.#folder)
    try {
      await this.#running
      this.#synced = changes
    } finally {
      this.#running = undefined
    }
  }
}

async function sync(folder: string): Promise<void> {
  const fd = openSync(folder, 'r')
  try {
    await promisify(fsync)(fd)
  } catch (error) {
    throw naming(folder, error)
  } finally {
    closeSync(fd)
  }
}
