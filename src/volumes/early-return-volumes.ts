import type { CallContext } from '../call-context.ts'
import type { FuseHost } from '../hosts/host.ts'
import type { Logger } from '../log.ts'
import type { Usage } from '../os/mounts/probe.ts'
import type { Binds } from './binds.ts'
import { VolumeError } from './errors.ts'
import type { Finding } from './health.ts'
import type { MountCache } from './mount-cache.ts'
import type { Mounts } from './mounts.ts'
import type { CheckedVolumes, NodeVolumes } from './checked-volumes.ts'
import type { PublishRequest } from './publisher.ts'
import type { StageRequest } from './stager.ts'

/** The parts that {@link EarlyReturnVolumes} is put together from. */
export interface EarlyReturnParts {
  readonly careful: CheckedVolumes
  readonly host: FuseHost
  readonly mounts: Mounts
  readonly binds: Binds
  readonly cache: MountCache
  readonly bootId: string
  readonly log: Logger
}

/**
 * Volumes as the drivers of blobfuse2 #1079 had them, for the lab (`serve --daemonize early`): Stage and Publish trust the exit status
 * and look at no mount table. Questions are answered by careful ones.
 */
export class EarlyReturnVolumes implements NodeVolumes {
  readonly #careful: CheckedVolumes
  readonly #host: FuseHost
  readonly #mounts: Mounts
  readonly #binds: Binds
  readonly #cache: MountCache
  readonly #bootId: string
  readonly #log: Logger

  constructor({ careful, host, mounts, binds, cache, bootId, log }: EarlyReturnParts) {
    this.#careful = careful
    this.#host = host
    this.#mounts = mounts
    this.#binds = binds
    this.#cache = cache
    this.#bootId = bootId
    this.#log = log
  }

  async stage({ volumeId, stagingPath, capability }: StageRequest, call: CallContext): Promise<void> {
    const madeDirectory = this.#mounts.makeDirectory(stagingPath) !== undefined
    await this.#host.start(stagingPath, capability.mountFlags, call)
    const entry = { version: 1, kind: 'staged', bootId: this.#bootId, volumeId, stagingPath, capability, madeDirectory } as const
    this.#log.info(`Saved stage mount entry to ${this.#cache.save(entry)}`)
  }

  publish({ volumeId, stagingPath, targetPath, readonly, capability }: Parameters<NodeVolumes['publish']>[0]): Promise<void> {
    return Promise.try(() => {
      if (stagingPath === undefined) throw new VolumeError('precondition', 'staging_target_path is missing')
      this.#mounts.makeDirectory(targetPath)
      this.#log.info(`mount --bind ${stagingPath} ${targetPath}`)
      this.#binds.bindBlindly(stagingPath, targetPath)
      const request: PublishRequest = { volumeId, stagingPath, targetPath, readonly, capability }
      const file = this.#cache.save({ version: 1, kind: 'published', bootId: this.#bootId, ...request })
      this.#log.info(`Saved publish mount entry to ${file}`)
    })
  }

  async unpublish(volumeId: string, targetPath: string, call: CallContext): Promise<void> {
    await this.#careful.unpublish(volumeId, targetPath, call)
  }

  async unstage(volumeId: string, stagingPath: string, call: CallContext): Promise<void> {
    await this.#careful.unstage(volumeId, stagingPath, call)
  }

  async usage(volumeId: string, path: string, call: CallContext): Promise<Usage> {
    return await this.#careful.usage(volumeId, path, call)
  }

  async health(volumeId: string, call: CallContext): Promise<readonly Finding[]> {
    return await this.#careful.health(volumeId, call)
  }

  unavailableReason(): string | undefined {
    return this.#careful.unavailableReason()
  }
}
