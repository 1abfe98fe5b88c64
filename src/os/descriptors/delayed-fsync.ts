import { closeSync, fsync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { codeOf, messageOf } from '../../errors.ts'
import type { Logger } from '../../log.ts'
import { SHARED_LIMITS } from '../limits.ts'
import { replaceFile } from './durable-file.ts'

/**
 * Writes whole files. From then on every process finds them, also after a kill; they are synced to disk a moment later. This is for the state of this
 * boot only, such as mounts: a power cut in between removes the mounts too, and leaves the file missing, as it was before, or empty.
 */
export class DelayedFsync {
  readonly #log: Logger
  readonly #written = new Set<string>()
  #syncing = false

  /** What the disk does not take is warned of. */
  constructor(log: Logger) {
    this.#log = log
  }

  /** Mode 0600. Makes the folder if it is missing. Throws Node's error. */
  write(path: string, text: string): void {
    replaceFile(path, text)
    this.#written.add(path)
    if (!this.#syncing)
      this.#sync().catch((error: unknown) =>
        this.#log.warning(`cannot sync ${path}: ${messageOf(error)}; a power cut may undo its last change`),
      )
  }

  /** Folders after their files: a name that is on the disk is to lead to bytes that are. */
  async #sync(): Promise<void> {
    this.#syncing = true
    while (this.#written.size > 0) {
      await sleep(SHARED_LIMITS.syncDelay, undefined, { ref: false })
      const files = [...this.#written]
      this.#written.clear()
      for (const path of [...files, ...new Set(files.map(dirname))]) await this.#syncOne(path)
    }
    this.#syncing = false
  }

  async #syncOne(path: string): Promise<void> {
    try {
      const fd = openSync(path, 'r')
      try {
        await promisify(fsync)(fd)
      } finally {
        closeSync(fd)
      }
    } catch (error) {
      // What was removed meanwhile has no bytes to keep.
      if (codeOf(error) !== 'ENOENT')
        this.#log.warning(`cannot sync ${path}: ${messageOf(error)}; a power cut may undo its last change`)
    }
  }
}
