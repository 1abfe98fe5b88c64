import type { CallContext } from '../call-context.ts'
import type { Logger } from '../log.ts'
import { removeDirectories } from '../os/directories.ts'
import { MS } from '../os/libc.ts'
import { flagsOfAMount, SESSION_FLAGS, withMountFlags } from '../os/mount-flags.ts'
import { type MountCapability, type PublishedEntry, sameCapability } from './entry.ts'
import { VolumeError } from './errors.ts'
import { LeftDirectories } from './left-directories.ts'
import type { MountCache } from './mount-cache.ts'
import type { Mounts } from './mounts.ts'
import type { Stager } from './stager.ts'

/** A staged volume to be bound to a target. */
export interface PublishRequest {
  readonly volumeId: string
  readonly stagingPath: string
  readonly targetPath: string
  readonly readonly: boolean
  readonly capability: MountCapability
}

/** Binds staged volumes to targets and takes them off again. The caller holds the volume's lock. */
export class Publisher {
  readonly #mounts: Mounts
  readonly #cache: MountCache
  readonly #stager: Stager
  readonly #bootId: string
  readonly #log: Logger
  readonly #left = new LeftDirectories()

  constructor(mounts: Mounts, cache: MountCache, stager: Stager, bootId: string, log: Logger) {
    this.#mounts = mounts
    this.#cache = cache
    this.#stager = stager
    this.#bootId = bootId
    this.#log = log
  }

  /** NodePublishVolume. Throws VolumeError; then nothing new is bound. */
  async publish(request: PublishRequest, call: CallContext): Promise<void> {
    if (request.targetPath === request.stagingPath) {
      throw new VolumeError('invalid', `target_path and staging_target_path are both ${request.targetPath}; name two directories`)
    }
    const known = this.#compatible(request)
    await this.#mounts.reachable(request.targetPath, call)
    const device = await this.#stager.ensure(request, call)
    await this.#bindIn(device, request, known !== undefined, call)
    if (known?.bootId === this.#bootId && known.stagingPath === request.stagingPath) return
    const entry: PublishedEntry = { version: 1, kind: 'published', bootId: this.#bootId, ...strip(request) }
    try {
      this.#log.info(`Saved publish mount entry to ${this.#cache.save(entry)}`)
    } catch (error) {
      if (known === undefined) this.#mounts.clear(request.targetPath, false)
      throw error
    }
  }

  /** NodeUnpublishVolume: takes all layers off the target and removes it, in any state. Throws VolumeError. */
  async unpublish(volumeId: string, targetPath: string, call: CallContext): Promise<void> {
    await this.#mounts.reachable(targetPath, call)
    const entry = this.#cache.publishedAt(targetPath)
    if (entry !== undefined && entry.volumeId !== volumeId) {
      throw new VolumeError('precondition', `${targetPath} is a target of volume ${entry.volumeId}, not of ${volumeId}`)
    }
    if (this.#cache.stagedAt(targetPath) !== undefined) {
      throw new VolumeError('precondition', `${targetPath} is a staging path; unstage it`)
    }
    const ours = entry !== undefined || this.#left.has(targetPath) || this.#mounts.mountAt(targetPath) !== undefined
    this.#mounts.clear(targetPath, entry !== undefined)
    // From here on it is published no more, whatever becomes of its directory: an entry would have the next plugin bind it again.
    if (entry !== undefined) this.#cache.remove(entry)
    if (ours) this.#left.remove(targetPath, () => this.#mounts.removeDirectory(targetPath))
  }

  /** Binds what a cache entry says, for a plugin that starts; tells whether it had to. Throws VolumeError. */
  async restore(entry: PublishedEntry, call: CallContext): Promise<boolean> {
    await this.#mounts.reachable(entry.targetPath, call)
    const device = await this.#stager.ensure(entry, call)
    return await this.#bindIn(device, entry, true, call)
  }

  /** `ours`: whether what is mounted at the target is known to be a bind that we made. */
  async #bindIn(device: string, request: PublishRequest, ours: boolean, call: CallContext): Promise<boolean> {
    const { stagingPath, targetPath } = request
    const flags = bindFlags(request)
    let made: string | undefined
    const state = await this.#mounts.target(targetPath, device, call)
    call.signal.throwIfAborted()
    switch (state.kind) {
      case 'MOUNTED':
        if (state.device === device && state.readonly === ((flags & MS.RDONLY) !== 0)) return false
        if (state.device !== device && !ours)
          throw new VolumeError('precondition', `${targetPath} is a mount point of another dummy-fuse already; unmount that first`)
        this.#mounts.clear(targetPath, false)
        break
      case 'FOREIGN':
        throw new VolumeError('precondition', `${targetPath} is a mount point of ${state.fsType} already; unmount that first`)
      case 'DEAD':
      case 'HUNG':
        this.#log.info(`umount ${targetPath} (${state.kind.toLowerCase()})`)
        this.#mounts.clear(targetPath, false)
        break
      case 'NOT_MOUNTED':
        if (!state.directory) made = this.#mounts.makeDirectory(targetPath)
    }
    try {
      this.#mounts.bind(stagingPath, targetPath, device, flags)
      this.#left.forget(targetPath)
      return true
    } catch (error) {
      if (made !== undefined) removeDirectories(targetPath, made)
      throw error
    }
  }

  /** The entry of an earlier call for the same target. Throws VolumeError by the CSI spec's table of second calls. */
  #compatible(request: PublishRequest): PublishedEntry | undefined {
    const { volumeId, targetPath, capability } = request
    const staged = this.#cache.stagedAt(targetPath)
    if (staged !== undefined)
      throw new VolumeError('precondition', `${targetPath} is the staging path of volume ${staged.volumeId}; name another target`)
    const known = this.#cache.publishedAt(targetPath)
    if (known !== undefined && known.volumeId !== volumeId) {
      throw new VolumeError('precondition', `${targetPath} is a target of volume ${known.volumeId}; a path holds one volume`)
    }
    if (known !== undefined && (known.readonly !== request.readonly || !sameCapability(known.capability, capability))) {
      throw new VolumeError('conflict', `volume ${volumeId} is published at ${targetPath} with other arguments; unpublish it first`)
    }
    const elsewhere = this.#cache.of(volumeId).published.find((entry) => entry.targetPath !== targetPath)
    if (elsewhere !== undefined && !sharable(capability.accessMode)) {
      throw new VolumeError(
        'precondition',
        `volume ${volumeId} is published at ${elsewhere.targetPath}, and ${capability.accessMode} allows one target; unpublish it there first`,
      )
    }
    return known
  }
}

function sharable(accessMode: string): boolean {
  return accessMode.startsWith('MULTI_NODE_') || accessMode === 'SINGLE_NODE_MULTI_WRITER'
}

function bindFlags({ readonly, capability }: PublishRequest): number {
  const own = flagsOfAMount(withMountFlags(SESSION_FLAGS, capability.mountFlags))
  return readonly ? own | MS.RDONLY : own
}

/** Only what the cache keeps, whatever else the object carries. */
function strip({ volumeId, stagingPath, targetPath, readonly, capability }: PublishRequest): PublishRequest {
  return { volumeId, stagingPath, targetPath, readonly, capability }
}
