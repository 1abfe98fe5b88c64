import type { FuseHost } from '../hosts/host.ts'
import type { CallContext } from '../call-context.ts'
import type { Usage } from '../os/probe.ts'
import { VolumeError } from './errors.ts'
import type { Failures } from './failures.ts'
import { type Finding, type Inspector, merge } from './health.ts'
import type { VolumeLocks } from './locks.ts'
import type { MountCache } from './mount-cache.ts'
import type { Mounts } from './mounts.ts'
import type { Publisher, PublishRequest } from './publisher.ts'
import type { VolumeRegistry } from './registry.ts'
import type { Restoration } from './restoration.ts'
import type { Stager, StageRequest } from './stager.ts'

/** All that the Node service asks of volumes, each within its call's time. Each change holds its volume's lock. */
export interface NodeVolumes {
  stage(request: StageRequest, call: CallContext): Promise<void>
  unstage(volumeId: string, stagingPath: string, call: CallContext): Promise<void>
  /** Without a staging path there is nothing to bind: VolumeError `precondition`. */
  publish(
    request: Omit<PublishRequest, 'stagingPath'> & { readonly stagingPath: string | undefined },
    call: CallContext,
  ): Promise<void>
  unpublish(volumeId: string, targetPath: string, call: CallContext): Promise<void>
  /** statfs(2) of a path that the volume is mounted at. Throws VolumeError `missing`, or `unavailable` while it is dead or hung. */
  usage(volumeId: string, path: string, call: CallContext): Promise<Usage>
  /** What is wrong with a volume; empty if nothing is. Throws VolumeError `missing` for a volume that nobody has spoken of. */
  health(volumeId: string, call: CallContext): Promise<readonly Finding[]>
  /** What keeps any volume from being mounted here. */
  trouble(): string | undefined
}

/** The parts that {@link CarefulVolumes} is put together from. */
export interface VolumeParts {
  readonly locks: VolumeLocks
  readonly cache: MountCache
  readonly mounts: Mounts
  readonly stager: Stager
  readonly publisher: Publisher
  readonly inspector: Inspector
  readonly failures: Failures
  readonly registry: VolumeRegistry
  readonly host: FuseHost
  readonly restoration: Restoration
}

/** Volumes whose every step looks before it acts. */
export class CarefulVolumes implements NodeVolumes {
  readonly #parts: VolumeParts

  constructor(parts: VolumeParts) {
    this.#parts = parts
  }

  async stage(request: StageRequest, call: CallContext): Promise<void> {
    const { locks, failures, stager } = this.#parts
    await this.#restored(request.volumeId, call)
    using _ = locks.take(request.volumeId, 'NodeStageVolume', request.stagingPath)
    await failures.watch(request.volumeId, () => stager.stage(request, call))
  }

  async unstage(volumeId: string, stagingPath: string, call: CallContext): Promise<void> {
    await this.#restored(volumeId, call)
    using _ = this.#parts.locks.take(volumeId, 'NodeUnstageVolume', stagingPath)
    await this.#parts.stager.unstage(volumeId, stagingPath, call)
    this.#parts.failures.forget(volumeId)
  }

  async publish({ stagingPath, ...request }: Parameters<NodeVolumes['publish']>[0], call: CallContext): Promise<void> {
    const { locks, failures, publisher } = this.#parts
    if (stagingPath === undefined) {
      throw new VolumeError(
        'precondition',
        'staging_target_path is missing: stage the volume and name where, publishing binds from there',
      )
    }
    await this.#restored(request.volumeId, call)
    using _ = locks.take(request.volumeId, 'NodePublishVolume', stagingPath, request.targetPath)
    await failures.watch(request.volumeId, () => publisher.publish({ ...request, stagingPath }, call))
  }

  async unpublish(volumeId: string, targetPath: string, call: CallContext): Promise<void> {
    await this.#restored(volumeId, call)
    using _ = this.#parts.locks.take(volumeId, 'NodeUnpublishVolume', targetPath)
    await this.#parts.publisher.unpublish(volumeId, targetPath, call)
  }

  async usage(volumeId: string, path: string, call: CallContext): Promise<Usage> {
    const { cache, mounts, inspector } = this.#parts
    const { staged, published } = cache.of(volumeId)
    const known = staged.some((entry) => entry.stagingPath === path) || published.some((entry) => entry.targetPath === path)
    if (!known) throw new VolumeError('missing', `volume ${volumeId} is not mounted at ${path}`)
    await this.#restored(volumeId, call)
    await mounts.reachable(path, call)
    const asked = await mounts.usage(path, call)
    if (asked.kind === 'alive') return asked.usage
    if (asked.kind === 'absent') throw new VolumeError('missing', `${path} is gone`)
    const reports = await inspector.volume(volumeId, call)
    const [finding] = reports.flatMap(({ findings }) => findings)
    throw new VolumeError('unavailable', finding?.message ?? `${path} is ${asked.kind}`)
  }

  async health(volumeId: string, call: CallContext): Promise<readonly Finding[]> {
    const { inspector, failures, registry, cache } = this.#parts
    await this.#restored(volumeId, call)
    const reports = await inspector.volume(volumeId, call)
    const failure = failures.of(volumeId)
    const known =
      reports.length > 0 || failure !== undefined || cache.of(volumeId).published.length > 0 || registry.get(volumeId) !== undefined
    if (!known) throw new VolumeError('missing', `volume ${volumeId} is not on this node`)
    const failed: readonly Finding[] =
      failure === undefined ? [] : [{ reason: 'MountFailed', message: `the last attempt to mount it failed: ${failure}` }]
    return merge([...reports.flatMap(({ findings }) => findings), ...failed])
  }

  trouble(): string | undefined {
    return this.#parts.host.trouble()
  }
  /** A plugin that has just started may still be at this volume. */
  async #restored(volumeId: string, call: CallContext): Promise<void> {
    await this.#parts.restoration.of(volumeId, call)
  }
}
