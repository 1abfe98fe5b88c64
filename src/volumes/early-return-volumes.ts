import type { CallContext } from '../call-context.ts'
import type { FuseHost } from '../hosts/host.ts'
import type { Logger } from '../log.ts'
import type { Usage } from '../os/mounts/probe.ts'
import type { Binds } from './binds.ts'
import { VolumeError } from './errors.ts'
import type { AskedPaths, Finding } from './health.ts'
import type { MountCache } from './mount-cache.ts'
import type { MountPoints } from './mount-points.ts'
import type { CheckedVolumes, NodeVolumes } from './checked-volumes.ts'
import type { PublishRequest } from './publisher.ts'
import type { StageRequest } from './stager.ts'

/** The dependencies of {@link EarlyReturnVolumes}. */
export interface EarlyReturnParts {
  readonly checked: CheckedVolumes
  readonly host: Pick<FuseHost, 'start'>
  readonly points: Pick<MountPoints, 'makeDirectory' | 'unmountAll'>
  readonly binds: Pick<Binds, 'bindBlindly'>
  readonly cache: MountCache
  readonly bootId: string
  readonly log: Logger
}

/**
 * The flaw of the drivers of blobfuse2 #1079, for the lab (`serve --daemonize early`): Stage and Publish trust the exit status of dummy-fuse and
 * check no mount table, and Unpublish unmounts for all. All other calls are those of {@link CheckedVolumes}.
 */
export class EarlyReturnVolumes implements NodeVolumes {
  readonly #checked: CheckedVolumes
  readonly #host: EarlyReturnParts['host']
  readonly #points: EarlyReturnParts['points']
  readonly #binds: EarlyReturnParts['binds']
  readonly #cache: MountCache
  readonly #bootId: string
  readonly #log: Logger

  constructor({ checked, host, points, binds, cache, bootId, log }: EarlyReturnParts) {
    this.#checked = checked
    this.#host = host
    this.#points = points
    this.#binds = binds
    this.#cache = cache
    this.#bootId = bootId
    this.#log = log
  }

  async stage({ volumeId, stagingPath, capability }: StageRequest, call: CallContext): Promise<void> {
    const madeDirectory = this.#points.makeDirectory(stagingPath) !== undefined
    await this.#host.start(stagingPath, capability.mountFlags, call, { volumeId, parameters: {} })
    const entry = { version: 1, kind: 'staged', bootId: this.#bootId, volumeId, stagingPath, capability, madeDirectory } as const
    this.#log.info(`Saved stage mount entry to ${this.#cache.save(entry)}`)
  }

  publish({ volumeId, stagingPath, targetPath, readonly, capability }: Parameters<NodeVolumes['publish']>[0]): Promise<void> {
    return Promise.try(() => {
      if (stagingPath === undefined) throw new VolumeError('precondition', 'staging_target_path is missing')
      this.#points.makeDirectory(targetPath)
      this.#log.info(`mount --bind ${stagingPath} ${targetPath}`)
      this.#binds.bindBlindly(stagingPath, targetPath)
      const request: PublishRequest = { volumeId, stagingPath, targetPath, readonly, capability }
      const file = this.#cache.save({ version: 1, kind: 'published', bootId: this.#bootId, ...request })
      this.#log.info(`Saved publish mount entry to ${file}`)
    })
  }

  /** It unmounts as those drivers do: where the mount has propagated from the staging path to all targets, its unmount does so too. */
  async unpublish(volumeId: string, targetPath: string, call: CallContext): Promise<void> {
    await this.#points.unmountAll(targetPath, 'any')
    await this.#checked.unpublish(volumeId, targetPath, call)
  }

  async unstage(volumeId: string, stagingPath: string, call: CallContext): Promise<void> {
    await this.#checked.unstage(volumeId, stagingPath, call)
  }

  async usage(volumeId: string, path: string, call: CallContext): Promise<Usage> {
    return await this.#checked.usage(volumeId, path, call)
  }

  async health(volumeId: string, asked: AskedPaths, call: CallContext): Promise<readonly Finding[]> {
    return await this.#checked.health(volumeId, asked, call)
  }

  unavailableReason(): string | undefined {
    return this.#checked.unavailableReason()
  }
}
