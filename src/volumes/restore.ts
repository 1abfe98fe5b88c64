import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { RunningCall } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import { QueuedError } from '../hosts/host.ts'
import type { Logger } from '../log.ts'
import type { AllowedPaths } from './allowed-paths.ts'
import { type MountCacheEntry, pathOf } from './entry.ts'
import { VolumeError } from './errors.ts'
import type { MountCache } from './mount-cache.ts'
import type { Mounts } from './mounts.ts'
import type { Publisher } from './publisher.ts'
import type { Restoration } from './restoration.ts'
import type { Stager } from './stager.ts'

/** The limits of a restorer; times are milliseconds. */
interface RestoreLimits {
  /** The time that each entry has, as a call has. */
  readonly call: number
  readonly callMargin: number
  readonly restoresAtOnce: number
}

/** What a restorer is put together from. */
export interface RestorerParts {
  readonly mounts: Mounts
  readonly allowed: AllowedPaths
  readonly cache: MountCache
  readonly stager: Stager
  readonly publisher: Publisher
  readonly restoration: Restoration
  readonly bootId: string
  readonly limits: RestoreLimits
  readonly log: Logger
}

/**
 * The original's restoreMounts: replays the mount cache when the plugin starts, for each volume first where it was staged, then where it
 * was published. An entry that cannot be replayed is reported and kept; none stops another.
 */
export class Restorer {
  readonly #parts: RestorerParts

  constructor(parts: RestorerParts) {
    this.#parts = parts
  }

  /** Resolves when every volume has been gone through. From its first moment on the {@link Restoration} knows all of them. */
  async restore(): Promise<void> {
    const { cache, restoration, limits, log } = this.#parts
    log.info('Attempting to re-mount volumes')
    const volumes = Map.groupBy<string, MountCacheEntry>([...cache.staged(), ...cache.published()], ({ volumeId }) => volumeId)
    for (const kind of ['staged', 'published'] as const)
      if (cache[kind]().length === 0) log.info(`No mount cache entries in ${cache.folder(kind)}`)
    const waiting = [...volumes].map(([volumeId, entries]) => {
      const { promise, resolve } = Promise.withResolvers<undefined>()
      restoration.begin(
        volumeId,
        promise.then(() => undefined),
      )
      return { entries, done: resolve }
    })
    const queue = waiting.values()
    const worker = async (): Promise<void> => {
      for (const { entries, done } of queue) {
        for (const entry of entries) await this.#replay(entry)
        done(undefined)
      }
    }
    await Promise.all(Array.from({ length: limits.restoresAtOnce }, worker))
  }

  async #replay(entry: MountCacheEntry): Promise<void> {
    const what = entry.kind === 'staged' ? entry.stagingPath : `${entry.targetPath} ${entry.stagingPath}`
    const { cache, bootId, log } = this.#parts
    try {
      const done = await this.#untilItsTurn(entry)
      if (done === 'dropped') return
      log.info(done ? `successfully remounted ${what}` : `still mounted ${what}`)
      if (entry.bootId !== bootId) cache.save({ ...entry, bootId })
    } catch (error) {
      log.error(`failed to remount ${what}: ${messageOf(error)}`)
    }
  }

  /** Other starts may come first for longer than one call lasts; its place in their queue is kept. */
  async #untilItsTurn(entry: MountCacheEntry): Promise<boolean | 'dropped'> {
    for (;;) {
      try {
        return await this.#restoreOne(entry)
      } catch (error) {
        if (!(error instanceof VolumeError) || !(error.cause instanceof QueuedError)) throw error
      }
    }
  }

  async #restoreOne(entry: MountCacheEntry): Promise<boolean | 'dropped'> {
    const { mounts, stager, publisher, limits } = this.#parts
    using call = new RunningCall(limits.call, { margin: limits.callMargin })
    const refusal = this.#parts.allowed.refusal(pathOf(entry))
    if (refusal !== undefined) throw new VolumeError('precondition', refusal)
    if (entry.bootId !== this.#parts.bootId) {
      await mounts.reachable(pathOf(entry), call)
      if (this.#dropped(entry)) return 'dropped'
    }
    return entry.kind === 'staged' ? await stager.restore(entry, call) : await publisher.restore(entry, call)
  }

  /** After a reboot the kubelet's folders may be gone, and with them the pods that wanted the volume. */
  #dropped(entry: MountCacheEntry): boolean {
    const { cache, log } = this.#parts
    const parent = dirname(pathOf(entry))
    if (existsSync(parent)) return false
    cache.remove(entry)
    log.info(`Dropped mount cache entry of ${pathOf(entry)}: the machine was rebooted, and ${parent} is gone`)
    return true
  }
}
