import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { type Entry, pathOf, type PublishedEntry, type StagedEntry } from './entry.ts'
import type { MountCache } from './mount-cache.ts'
import type { Mounts } from './mounts.ts'
import type { Publisher } from './publisher.ts'
import type { Stager } from './stager.ts'

/** Entries that are replayed side by side: each may start a process. */
const AT_ONCE = 4

/**
 * The original's restoreMounts: replays the mount cache when the plugin starts, first what was staged, then what was published. An
 * entry that cannot be replayed is reported and kept; none stops another.
 */
export class Restorer {
  readonly #mounts: Mounts
  readonly #cache: MountCache
  readonly #stager: Stager
  readonly #publisher: Publisher
  readonly #bootId: string
  readonly #log: Logger

  constructor(mounts: Mounts, cache: MountCache, stager: Stager, publisher: Publisher, bootId: string, log: Logger) {
    this.#mounts = mounts
    this.#cache = cache
    this.#stager = stager
    this.#publisher = publisher
    this.#bootId = bootId
    this.#log = log
  }

  async restore(): Promise<void> {
    this.#log.info('Attempting to re-mount volumes')
    await this.#replay('staged', this.#cache.staged(), (entry: StagedEntry) => this.#stager.restore(entry))
    await this.#replay('published', this.#cache.published(), (entry: PublishedEntry) => this.#publisher.restore(entry))
  }

  async #replay<E extends Entry>(kind: E['kind'], entries: readonly E[], act: (entry: E) => Promise<boolean>): Promise<void> {
    if (entries.length === 0) this.#log.info(`No mount cache entries in ${this.#cache.folder(kind)}`)
    const queue = entries.values()
    const worker = async (): Promise<void> => {
      for (const entry of queue) await this.#replayOne(entry, act)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  }

  async #replayOne<E extends Entry>(entry: E, act: (entry: E) => Promise<boolean>): Promise<void> {
    const what = entry.kind === 'staged' ? entry.stagingPath : `${entry.targetPath} ${entry.stagingPath}`
    try {
      if (await this.#dropped(entry)) return
      const done = await act(entry)
      this.#log.info(done ? `successfully remounted ${what}` : `still mounted ${what}`)
      if (entry.bootId !== this.#bootId) this.#cache.save({ ...entry, bootId: this.#bootId })
    } catch (error) {
      this.#log.error(`failed to remount ${what}: ${messageOf(error)}`)
    }
  }

  /** After a reboot the kubelet's folders may be gone, and with them those who wanted the volume. */
  async #dropped(entry: Entry): Promise<boolean> {
    if (entry.bootId === this.#bootId) return false
    const parent = dirname(pathOf(entry))
    await this.#mounts.reachable(pathOf(entry))
    if (existsSync(parent)) return false
    this.#cache.remove(entry)
    this.#log.info(`Dropped mount cache entry of ${pathOf(entry)}: the machine was rebooted, and ${parent} is gone`)
    return true
  }
}
