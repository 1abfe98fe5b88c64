import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { type CallContext, isCallEnded, type RunningCall } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import { QueuedError } from '../hosts/host.ts'
import type { Logger } from '../log.ts'
import type { AllowedPaths } from './allowed-paths.ts'
import { type MountCacheEntry, pathOf } from './mount-cache-entry.ts'
import { VolumeError } from './errors.ts'
import type { MountCache } from './mount-cache.ts'
import type { Publisher } from './publisher.ts'
import type { Reachability } from './reachability.ts'
import { type AttemptLimits, Replay } from './replay.ts'
import type { Restoration } from './restoration.ts'
import type { Stager } from './stager.ts'

/** The limits of a restorer: each entry has the time that a call has. */
interface RestoreLimits extends AttemptLimits {
  readonly restoresAtOnce: number
}

/** The dependencies of {@link Restorer}. */
export interface RestorerParts {
  readonly reachability: Pick<Reachability, 'check'>
  readonly allowed: Pick<AllowedPaths, 'refusal'>
  readonly cache: MountCache
  readonly stager: Pick<Stager, 'restore' | 'unstage'>
  readonly publisher: Pick<Publisher, 'restore'>
  readonly restoration: Restoration
  readonly bootId: string
  readonly limits: RestoreLimits
  readonly log: Logger
}

/**
 * restoreMounts of the original project: replays the mount cache when the plugin starts, for each volume first where it was staged, then where it
 * was published. An entry that cannot be replayed is reported and kept; none stops another. An inline ephemeral volume that is published nowhere, because
 * the plugin was killed in the middle of a call, is ended; so is a volume that was published nowhere when the machine was rebooted: the kubelet forgets where it
 * was staged, and stages it again before it publishes it.
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
    const replays = [...volumes].map(([volumeId, entries]) => {
      const replay = new Replay(inOrder(entries), async (entry, call) => await this.#replay(entry, call), limits)
      restoration.begin(volumeId, replay)
      return replay
    })
    const queue = replays.values()
    const worker = async (): Promise<void> => {
      for (const replay of queue) await replay.run()
    }
    await Promise.all(Array.from({ length: limits.restoresAtOnce }, worker))
    // Those that calls wait for are begun beside the workers.
    await Promise.all(replays.map(({ restored }) => restored))
  }

  async #replay(entry: MountCacheEntry, call: RunningCall): Promise<'over' | 'again'> {
    const what = entry.kind === 'staged' ? entry.stagingPath : `${entry.targetPath} ${entry.stagingPath}`
    const { cache, bootId, log } = this.#parts
    try {
      const done = await this.#restoreOne(entry, call)
      if (done === 'ended') return 'over'
      log.info(done ? `successfully remounted ${what}` : `still mounted ${what}`)
      if (entry.kind === 'staged' && entry.bootId !== bootId) cache.save({ ...entry, bootId })
    } catch (error) {
      // Other starts may come first for longer than one call lasts; its place in their queue is kept.
      if (error instanceof VolumeError && error.cause instanceof QueuedError) return 'again'
      const reason: unknown = call.signal.reason
      if (isCallEnded(reason) && reason.kind === 'cancelled') return 'again'
      log.error(`failed to remount ${what}: ${messageOf(error)}`)
    }
    return 'over'
  }

  async #restoreOne(entry: MountCacheEntry, call: CallContext): Promise<boolean | 'ended'> {
    const { reachability, stager, publisher, cache, allowed, bootId, log } = this.#parts
    const path = pathOf(entry)
    const end = async (which: string, why: string): Promise<'ended'> => {
      await stager.unstage(entry.volumeId, path, call)
      log.info(`Ended ${which} ${entry.volumeId} at ${path}: ${why}`)
      return 'ended'
    }
    const known = entry.kind === 'staged' ? cache.stagedAt(path) : cache.publishedAt(path)
    // A call has unmounted it meanwhile.
    if (known?.volumeId !== entry.volumeId) return 'ended'
    const own = entry.kind === 'staged' && entry.ephemeral === true
    if (own && cache.of(entry.volumeId).published.length === 0)
      return await end('the inline ephemeral volume', 'it is published nowhere')
    const refusal = own ? undefined : allowed.refusal(path)
    if (refusal !== undefined) throw new VolumeError('precondition', refusal)
    if (entry.bootId !== bootId) {
      await reachability.check(path, call)
      if (this.#dropped(entry)) return 'ended'
      if (entry.kind === 'staged' && !own && (await this.#isNowhere(entry, call)))
        return await end('the volume', 'the machine was rebooted, and it is published nowhere')
    }
    return entry.kind === 'staged' ? await stager.restore(entry, call) : await publisher.restore(entry, call)
  }

  /** Whether, after a reboot, none of a volume's targets can be published again. */
  async #isNowhere({ volumeId }: MountCacheEntry, call: CallContext): Promise<boolean> {
    const { reachability, cache } = this.#parts
    const targets = cache.of(volumeId).published.map(pathOf)
    for (const target of targets) await reachability.check(target, call)
    return !targets.some((target) => existsSync(dirname(target)))
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

/** The staging path first; that of an inline ephemeral volume last, when it is known whether a target is left. A target mounts its staging path itself. */
function inOrder(entries: readonly MountCacheEntry[]): readonly MountCacheEntry[] {
  const rank = ({ kind, ephemeral }: MountCacheEntry): number => (kind === 'published' ? 1 : ephemeral ? 2 : 0)
  return entries.toSorted((a, b) => rank(a) - rank(b))
}
