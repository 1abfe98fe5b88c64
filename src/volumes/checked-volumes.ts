import type { FuseHost } from '../hosts/host.ts'
import { asQuestion, type CallContext } from '../call-context.ts'
import type { Usage } from '../os/mounts/probe.ts'
import type { AllowedPaths } from './allowed-paths.ts'
import type { EphemeralPlaces } from './ephemeral-places.ts'
import { VolumeError } from './errors.ts'
import type { Failure, Failures } from './failures.ts'
import { type AskedPaths, type Finding, type Inspector, merge } from './health.ts'
import type { VolumeLocks } from './locks.ts'
import type { MountCache } from './mount-cache.ts'
import type { MountStates } from './mount-states.ts'
import type { PathResolver } from './path-resolver.ts'
import type { Publisher, PublishRequest } from './publisher.ts'
import type { Reachability } from './reachability.ts'
import type { VolumeRegistry } from './registry.ts'
import type { Restoration } from './restoration.ts'
import type { Stager, StageRequest } from './stager.ts'

/** All that the Node service asks of volumes, each within its call's time. Each change holds its volume's lock. */
export interface NodeVolumes {
  stage(request: StageRequest, call: CallContext): Promise<void>
  unstage(volumeId: string, stagingPath: string, call: CallContext): Promise<void>
  /**
   * An inline ephemeral volume (`ephemeral`) has no staging path: it is staged too. Without a staging path there is nothing to bind for any other: VolumeError
   * `precondition`.
   */
  publish(
    request: Omit<PublishRequest, 'stagingPath'> & { readonly stagingPath: string | undefined },
    call: CallContext,
  ): Promise<void>
  unpublish(volumeId: string, targetPath: string, call: CallContext): Promise<void>
  /** statfs(2) of a path that the volume is mounted at. Throws VolumeError `missing`, or `unavailable` while it is dead or hung. */
  usage(volumeId: string, path: string, call: CallContext): Promise<Usage>
  /**
   * What is wrong with a volume, at the path that is asked about; empty if nothing is. Throws VolumeError: `missing` for a volume that is not known here, or
   * not at that path; `unavailable` while a state cannot be determined.
   */
  health(volumeId: string, asked: AskedPaths, call: CallContext): Promise<readonly Finding[]>
  /** Why no volume can be mounted here; undefined if volumes can. */
  unavailableReason(): string | undefined
}

/** The dependencies of {@link CheckedVolumes}. */
export interface VolumeParts {
  readonly locks: VolumeLocks
  readonly cache: MountCache
  readonly states: Pick<MountStates, 'mountAt' | 'usage'>
  readonly reachability: Pick<Reachability, 'check'>
  readonly resolver: Pick<PathResolver, 'resolve'>
  readonly allowed: Pick<AllowedPaths, 'refusal'>
  readonly places: Pick<EphemeralPlaces, 'of'>
  readonly stager: Pick<Stager, 'stage' | 'unstage'>
  readonly publisher: Pick<Publisher, 'publish' | 'unpublish'>
  readonly inspector: Pick<Inspector, 'volume'>
  readonly failures: Failures
  readonly registry: Pick<VolumeRegistry, 'get'>
  readonly host: Pick<FuseHost, 'unavailableReason'>
  readonly restoration: Restoration
  /** Milliseconds in which a mount or a daemon answers a question about health, or counts as silent; Infinity: as for every call. */
  readonly healthTime: number
}

/**
 * Checks the state of a path before each step. Of two calls for one volume the first to arrive gets the lock and the other is ABORTED, because every RPC
 * awaits the same steps before it takes the lock.
 */
export class CheckedVolumes implements NodeVolumes {
  readonly #parts: VolumeParts

  constructor(parts: VolumeParts) {
    this.#parts = parts
  }

  async stage(request: StageRequest, call: CallContext): Promise<void> {
    const { locks, failures, stager } = this.#parts
    await this.#parts.restoration.of(request.volumeId, call)
    const named = request.stagingPath
    const stagingPath = await this.#place(named, 'follow', call)
    await explaining({ [named]: stagingPath }, async () => {
      using _ = locks.take(request.volumeId, 'NodeStageVolume', stagingPath)
      this.#refuse(stagingPath)
      this.#refuseOtherLifecycle(request)
      await failures.watch({ volumeId: request.volumeId, staging: stagingPath }, () =>
        stager.stage({ ...request, stagingPath }, call),
      )
    })
  }

  async unstage(volumeId: string, named: string, call: CallContext): Promise<void> {
    using _ = await this.#parts.restoration.pause(volumeId, call)
    const stagingPath = await this.#place(named, 'follow', call)
    await explaining({ [named]: stagingPath }, async () => {
      using _ = this.#parts.locks.take(volumeId, 'NodeUnstageVolume', stagingPath)
      if (this.#isNobodys(stagingPath)) return
      await this.#parts.stager.unstage(volumeId, stagingPath, call)
      this.#parts.failures.unstaged(volumeId, stagingPath)
    })
  }

  async publish(request: Parameters<NodeVolumes['publish']>[0], call: CallContext): Promise<void> {
    const { locks, failures, publisher } = this.#parts
    const named = { staging: request.stagingPath, target: request.targetPath }
    if (request.ephemeral) {
      await this.#publishEphemeral(request, call)
      return
    }
    if (named.staging === undefined) {
      throw new VolumeError(
        'precondition',
        'staging_target_path is missing: stage the volume first, and name its staging path, from which NodePublishVolume binds; an inline ephemeral volume needs a CSIDriver with podInfoOnMount',
      )
    }
    await this.#parts.restoration.of(request.volumeId, call)
    const stagingPath = await this.#place(named.staging, 'follow', call)
    const targetPath = await this.#target(named.target, call)
    await explaining({ [named.staging]: stagingPath, [named.target]: targetPath }, async () => {
      using _ = locks.take(request.volumeId, 'NodePublishVolume', stagingPath, targetPath)
      for (const path of [stagingPath, targetPath]) this.#refuse(path)
      this.#refuseOtherLifecycle(request)
      await failures.watch({ volumeId: request.volumeId, staging: stagingPath, target: targetPath }, () =>
        publisher.publish({ ...request, stagingPath, targetPath }, call),
      )
    })
  }

  async unpublish(volumeId: string, named: string, call: CallContext): Promise<void> {
    using _ = await this.#parts.restoration.pause(volumeId, call)
    const targetPath = await this.#place(named, 'follow', call)
    await explaining({ [named]: targetPath }, async () => {
      using _ = this.#parts.locks.take(volumeId, 'NodeUnpublishVolume', targetPath)
      if (!this.#isNobodys(targetPath)) await this.#parts.publisher.unpublish(volumeId, targetPath, call)
      this.#parts.failures.unpublished(volumeId, targetPath)
      await this.#endEphemeral(volumeId, call)
    })
  }

  async usage(volumeId: string, named: string, call: CallContext): Promise<Usage> {
    const { cache, states, reachability, inspector } = this.#parts
    const { staged, published } = cache.of(volumeId)
    if (staged.length + published.length === 0 || !named.startsWith('/')) throw notMounted(volumeId, named)
    const early = await this.#usageMeanwhile(volumeId, named, call)
    if (early !== undefined) return early
    await this.#parts.restoration.of(volumeId, call)
    const path = await this.#place(named, 'follow', call)
    const known = staged.some((entry) => entry.stagingPath === path) || published.some((entry) => entry.targetPath === path)
    if (!known) throw notMounted(volumeId, named)
    await reachability.check(path, call)
    const asked = await states.usage(path, call)
    if (asked.kind === 'alive') return asked.usage
    if (asked.kind === 'absent') throw new VolumeError('missing', `the directory ${path} is gone; publish the volume again`)
    const reports = await inspector.volume(volumeId, call)
    const [finding] = reports.flatMap(({ findings }) => findings)
    throw new VolumeError('unavailable', finding?.message ?? `the mount at ${path} is ${asked.kind}; see dummy-fuse-csi status`)
  }

  async health(volumeId: string, named: AskedPaths, call: CallContext): Promise<readonly Finding[]> {
    const { inspector, restoration, healthTime } = this.#parts
    let question = asQuestion(call, healthTime)
    const asked = await this.#asked(named, question)
    if (restoration.has(volumeId)) {
      // Its daemon may have outlived the previous plugin.
      const early = await inspector.volume(volumeId, question, asked)
      const found = early.flatMap(({ findings }) => findings)
      // No restore mends a daemon that hangs, and it would wait for longer than a kubelet should.
      if (early.length > 0 && found.every(({ reason }) => reason === 'DaemonHung')) return merge(found)
      await restoration.of(volumeId, call)
      question = asQuestion(call, healthTime)
    }
    const reports = await inspector.volume(volumeId, question, asked)
    const failed = this.#failed(volumeId, asked)
    if (reports.length === 0 && failed.length === 0) this.#requireKnown(volumeId, named)
    const found = reports.flatMap((report) => report.findings)
    // A second call for a path may fail although the volume is well there.
    const isWell = (asked.target ?? asked.staging) !== undefined && reports.length > 0 && found.length === 0
    const findings = merge(isWell ? [] : [...found, ...failed])
    const unknown = findings.find(({ reason }) => reason === 'StateUnknown')
    // A controller restarts the consumers of a volume with findings. A state that could not be determined is no finding.
    if (unknown !== undefined) throw new VolumeError('unavailable', unknown.message)
    return findings
  }

  /** The failures that a question is about: those of its path, and of the staging path that its target is to be bound from. All if it names no path. */
  #failed(volumeId: string, { staging, target }: AskedPaths): readonly Finding[] {
    const all = this.#parts.failures.of(volumeId)
    const { published } = this.#parts.cache.of(volumeId)
    const from = [...published.map(({ targetPath, stagingPath }) => ({ target: targetPath, staging: stagingPath })), ...all]
    const source = target === undefined ? staging : (from.find((one) => one.target === target)?.staging ?? staging)
    const isAsked = (failure: Failure): boolean =>
      failure.target === undefined ? failure.staging === source : failure.target === target
    const asked = (target ?? staging) === undefined ? all : all.filter(isAsked)
    return asked.map((failure) => ({
      reason: 'MountFailed',
      message: `the last attempt to mount it at ${failure.target ?? failure.staging} failed: ${failure.message}`,
    }))
  }

  async #publishEphemeral(request: Parameters<NodeVolumes['publish']>[0], call: CallContext): Promise<void> {
    const { locks, failures, publisher, places, cache } = this.#parts
    const { volumeId, targetPath: named } = request
    if (request.stagingPath !== undefined)
      throw new VolumeError(
        'invalid',
        `an inline ephemeral volume has no staging path; staging_target_path is ${request.stagingPath}`,
      )
    await this.#parts.restoration.of(volumeId, call)
    const targetPath = await this.#target(named, call)
    await explaining({ [named]: targetPath }, async () => {
      // The folder may have been another one when the volume was published first.
      const stagingPath = cache.of(volumeId).staged.find(({ ephemeral }) => ephemeral)?.stagingPath ?? places.of(volumeId)
      using _ = locks.take(volumeId, 'NodePublishVolume', stagingPath, targetPath)
      this.#refuse(targetPath)
      this.#refuseOtherLifecycle(request)
      try {
        await failures.watch({ volumeId, staging: stagingPath, target: targetPath }, () =>
          publisher.publish({ ...request, stagingPath, targetPath }, call),
        )
      } catch (error) {
        // Where that fails the entry stays, and NodeUnpublishVolume or the next start of the plugin ends the session.
        await this.#endEphemeral(volumeId, call.cleanUp).catch(() => undefined)
        throw error
      }
    })
  }

  /** Ends the session of an inline ephemeral volume that is published nowhere. Does nothing for any other volume. */
  async #endEphemeral(volumeId: string, call: CallContext): Promise<void> {
    const { cache, stager } = this.#parts
    const { staged, published } = cache.of(volumeId)
    if (published.length > 0) return
    for (const { stagingPath } of staged.filter(({ ephemeral }) => ephemeral)) await stager.unstage(volumeId, stagingPath, call)
  }

  /** Throws VolumeError `precondition` for a persistent volume with the id of an inline ephemeral one, or the other way round. */
  #refuseOtherLifecycle({ volumeId, ephemeral }: { readonly volumeId: string; readonly ephemeral?: true }): void {
    const other = this.#parts.cache.of(volumeId).staged.find((entry) => entry.ephemeral !== ephemeral)
    if (other === undefined) return
    throw new VolumeError(
      'precondition',
      other.ephemeral
        ? `volume ${volumeId} is an inline ephemeral volume on this node; unpublish it before you use its id for a persistent one`
        : `volume ${volumeId} is staged at ${other.stagingPath} as a persistent volume; unstage it before you use its id for an inline ephemeral one`,
    )
  }

  async #asked({ staging, target }: AskedPaths, call: CallContext): Promise<AskedPaths> {
    return {
      ...(staging === undefined ? {} : { staging: await this.#place(staging, 'follow', call) }),
      ...(target === undefined ? {} : { target: await this.#place(target, 'follow', call) }),
    }
  }

  /** Throws VolumeError `missing` for a volume that nothing is known of, at all or at the path that is asked about. */
  #requireKnown(volumeId: string, { staging, target }: AskedPaths): void {
    const { cache, registry } = this.#parts
    const { staged, published } = cache.of(volumeId)
    if (staged.length + published.length === 0 && registry.get(volumeId) === undefined)
      throw new VolumeError('missing', `volume ${volumeId} is not on this node`)
    const path = target ?? staging
    if (path !== undefined) throw notMounted(volumeId, path)
  }

  unavailableReason(): string | undefined {
    return this.#parts.host.unavailableReason()
  }

  /** The usage of a volume that is being restored and answers already; undefined for any other. */
  async #usageMeanwhile(volumeId: string, path: string, call: CallContext): Promise<Usage | undefined> {
    const { restoration, states, reachability, cache } = this.#parts
    const { staged, published } = cache.of(volumeId)
    const known = staged.some(({ stagingPath }) => stagingPath === path) || published.some(({ targetPath }) => targetPath === path)
    if (!restoration.has(volumeId) || !known || states.mountAt(path) === undefined) return undefined
    await reachability.check(path, call)
    const asked = await states.usage(path, call)
    return asked.kind === 'alive' ? asked.usage : undefined
  }

  /** The one name of a directory. A path of the mount cache is one already: a link that was made in its place later is not followed. */
  async #place(path: string, last: 'follow' | 'keep', call: CallContext): Promise<string> {
    return this.#isKnown(path) ? path : await this.#parts.resolver.resolve(path, last, call)
  }

  /** The one name of a target. A link at its end is followed only if it leads to a path of the mount cache. */
  async #target(path: string, call: CallContext): Promise<string> {
    const target = await this.#place(path, 'keep', call)
    const followed = await this.#place(path, 'follow', call)
    return this.#isKnown(followed) ? followed : target
  }

  #isKnown(path: string): boolean {
    const { cache } = this.#parts
    return cache.stagedAt(path) !== undefined || cache.publishedAt(path) !== undefined
  }

  #refuse(path: string): void {
    const refusal = this.#parts.allowed.refusal(path)
    if (refusal !== undefined) throw new VolumeError('precondition', refusal)
  }

  /**
   * Whether a path is one where nothing may be mounted, and nothing is: the CO unpublishes and unstages also after a refused call. Throws VolumeError if
   * something is mounted at such a path.
   */
  #isNobodys(path: string): boolean {
    const { allowed, states } = this.#parts
    const refusal = this.#isKnown(path) ? undefined : allowed.refusal(path)
    if (refusal === undefined) return false
    if (states.mountAt(path) === undefined) return true
    throw new VolumeError(
      'precondition',
      `${refusal}; this plugin has not mounted what is there, unmount it by hand (umount ${path})`,
    )
  }
}

function notMounted(volumeId: string, path: string): VolumeError {
  return new VolumeError('missing', `volume ${volumeId} is not mounted at ${path}`)
}

/** Adds to the message of a failure which of the caller's paths lead elsewhere. */
async function explaining<T>(places: Readonly<Record<string, string>>, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    const led = Object.entries(places).filter(([named, place]) => named !== place)
    if (!(error instanceof VolumeError) || led.length === 0) throw error
    const where = led.map(([named, place]) => `${named} leads to ${place}`).join(', ')
    throw new VolumeError(error.kind, `${error.message} (${where})`, { cause: error })
  }
}
