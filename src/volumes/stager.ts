import type { CallContext } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import { type FuseHost, HostError, QueuedError } from '../hosts/host.ts'
import type { Logger } from '../log.ts'
import { type MountCapability, sameCapability, type StagedEntry } from './entry.ts'
import { VolumeError } from './errors.ts'
import { LeftDirectories } from './left-directories.ts'
import type { MountCache } from './mount-cache.ts'
import type { Mounts, MountState } from './mounts.ts'

/** A volume to be mounted at its staging path. */
export interface StageRequest {
  readonly volumeId: string
  readonly stagingPath: string
  readonly capability: MountCapability
}

/** Mounts volumes at their staging paths and takes them off again. The caller holds the volume's lock. */
export class Stager {
  readonly #mounts: Mounts
  readonly #cache: MountCache
  readonly #host: FuseHost
  readonly #bootId: string
  readonly #grace: number
  readonly #log: Logger
  readonly #left = new LeftDirectories()

  /** `grace`: milliseconds for a daemon whose mount was taken off to end by itself. */
  constructor(mounts: Mounts, cache: MountCache, host: FuseHost, bootId: string, grace: number, log: Logger) {
    this.#mounts = mounts
    this.#cache = cache
    this.#host = host
    this.#bootId = bootId
    this.#grace = grace
    this.#log = log
  }

  /**
   * NodeStageVolume. It
   * 1. makes sure that every FUSE mount above the staging path answers, so that no step below waits for one;
   * 2. refuses a path that the mount cache has for another volume, or as a target;
   * 3. looks at the staging path: a live session with another capability is a conflict, a live session with this one is kept;
   * 4. takes a dead or hung session off, and ends its daemon;
   * 5. makes the directory where it is missing;
   * 6. has the host mount a session, and waits until INIT is handled;
   * 7. writes the mount cache entry.
   * Where step 6 or 7 fails, the daemon ends, and the mount and the directories that were made are removed. Throws VolumeError; then nothing new is
   * mounted.
   */
  async stage(request: StageRequest, call: CallContext): Promise<void> {
    const { volumeId, stagingPath, capability } = request
    await this.#mounts.reachable(stagingPath, call)
    const entry = this.#owned(request)
    const state = await this.#mounts.staging(stagingPath, call)
    if (entry !== undefined && state.kind === 'MOUNTED' && !sameCapability(entry.capability, capability)) {
      throw new VolumeError('conflict', `volume ${volumeId} is staged at ${stagingPath} with another capability; unstage it first`)
    }
    await this.#mountIn(state, request, call)
  }

  /**
   * The device of a volume's live session at its staging path, mounting it anew where it is dead, hung or not there: the kubelet does
   * not stage again before it publishes. Throws VolumeError.
   */
  async ensure(request: StageRequest, call: CallContext): Promise<string> {
    const { stagingPath } = request
    await this.#mounts.reachable(stagingPath, call)
    const entry = this.#owned(request)
    const state = await this.#mounts.staging(stagingPath, call)
    if (state.kind === 'MOUNTED' && entry !== undefined) return state.device
    return await this.#mountIn(state, entry === undefined ? request : { ...request, capability: entry.capability }, call)
  }

  /** NodeUnstageVolume: takes all layers off and ends the daemon, in any state. Throws VolumeError. */
  async unstage(volumeId: string, stagingPath: string, call: CallContext): Promise<void> {
    await this.#mounts.reachable(stagingPath, call)
    const entry = this.#cache.stagedAt(stagingPath)
    if (entry !== undefined && entry.volumeId !== volumeId) {
      throw new VolumeError('precondition', `${stagingPath} is the staging path of volume ${entry.volumeId}, not of ${volumeId}`)
    }
    const target = this.#cache.publishedAt(stagingPath)
    if (target !== undefined)
      throw new VolumeError('precondition', `${stagingPath} is a target of volume ${target.volumeId}; unpublish it`)
    await this.#refuseWhilePublished(volumeId, stagingPath, call)
    const { device } = this.#mounts.mountAt(stagingPath) ?? {}
    call.signal.throwIfAborted()
    await this.#mounts.clear(stagingPath, entry !== undefined)
    // From here on it is staged no more, whatever becomes of its daemon and its directory: an entry would have the next plugin mount it again.
    if (entry !== undefined) this.#cache.remove(entry)
    if (entry?.madeDirectory === true) this.#left.add(stagingPath)
    await this.#stop(stagingPath, device, this.#grace, call)
    await this.#cache.removalsSynced()
    if (this.#left.has(stagingPath)) this.#left.remove(stagingPath, () => this.#mounts.removeDirectory(stagingPath))
  }

  /** Mounts what a cache entry says, for a plugin that starts; tells whether it had to. Throws VolumeError. */
  async restore(entry: StagedEntry, call: CallContext): Promise<boolean> {
    await this.#mounts.reachable(entry.stagingPath, call)
    const state = await this.#mounts.staging(entry.stagingPath, call)
    if (state.kind === 'MOUNTED') return false
    await this.#mountIn(state, entry, call)
    return true
  }

  async #mountIn(state: MountState, request: StageRequest, call: CallContext): Promise<string> {
    const { stagingPath } = request
    call.signal.throwIfAborted()
    switch (state.kind) {
      case 'MOUNTED':
        // Live, but perhaps not in our books: a plugin killed before it could write them, or a mount made by hand. A bind of some
        // other session has no daemon of its own, and would end with that session.
        if (this.#cache.stagedAt(stagingPath) === undefined) await this.#refuseBind(stagingPath, state.device, call)
        this.#save(request, false)
        return this.#mounts.admit(stagingPath)
      case 'FOREIGN':
        throw new VolumeError('precondition', `${stagingPath} is a mount point of ${state.fsType} already; unmount that first`)
      case 'HUNG':
        if (state.serves === 'many') {
          throw new VolumeError(
            'unavailable',
            `${stagingPath} waits for process ${state.pid ?? 0}, which is stopped and serves other volumes too; resume it (kill -CONT ${state.pid ?? 0})`,
          )
        }
        return await this.#replace(state, request, call)
      case 'DEAD':
        return await this.#replace(state, request, call)
      case 'NOT_MOUNTED':
        return await this.#mount(request, state.directory ? undefined : this.#mounts.makeDirectory(stagingPath), call)
    }
  }

  /**
   * Throws VolumeError if what is mounted at a staging path is not known to be a session of its own: `precondition` where another volume's is bound
   * there, else `unavailable`, for a daemon that is being replaced cannot say what it serves.
   */
  async #refuseBind(stagingPath: string, device: string, call: CallContext): Promise<void> {
    const daemon = await this.#host.daemonAt(stagingPath, device, call).catch((error: unknown) => {
      throw asVolumeError(error, `cannot learn what serves ${stagingPath}`)
    })
    if (daemon !== undefined) return
    const others = this.#cache.staged().filter((entry) => entry.stagingPath !== stagingPath)
    if (others.some((entry) => this.#mounts.mountAt(entry.stagingPath)?.device === device))
      throw new VolumeError('precondition', `${stagingPath} is a bind of another dummy-fuse already; unmount that first`)
    throw new VolumeError(
      'unavailable',
      `${stagingPath} shows a dummy-fuse that no daemon of this plugin is known to serve; call again, or unmount it`,
    )
  }

  /** Takes a session off that serves nobody any more, and mounts anew. */
  async #replace(state: MountState & { kind: 'DEAD' | 'HUNG' }, request: StageRequest, call: CallContext): Promise<string> {
    const { stagingPath } = request
    this.#log.info(`umount ${stagingPath} (${state.kind.toLowerCase()})`)
    await this.#mounts.clear(stagingPath, false)
    await this.#stop(stagingPath, state.device, 0, call)
    return await this.#mount(request, undefined, call)
  }

  /** `made`: the first directory that was made for it. */
  async #mount(request: StageRequest, made: string | undefined, call: CallContext): Promise<string> {
    const { stagingPath, capability } = request
    try {
      await this.#host.start(stagingPath, capability.mountFlags, call)
      const device = this.#mounts.admit(stagingPath)
      call.signal.throwIfAborted()
      this.#save(request, made !== undefined)
      return device
    } catch (error) {
      // A call that waited for its turn has begun nothing but the directory.
      await this.#undo(stagingPath, made, !(error instanceof QueuedError), call.cleanUp)
      throw asVolumeError(error, `cannot mount ${stagingPath}`)
    }
  }

  /** When the daemon of a failed mount is dead, what it had mounted is taken off too. */
  async #undo(stagingPath: string, made: string | undefined, started: boolean, call: CallContext): Promise<void> {
    try {
      if (started) {
        await this.#host.stop(stagingPath, this.#deviceAt(stagingPath), 0, call)
        await this.#mounts.clear(stagingPath, false)
      }
      if (made !== undefined) this.#mounts.removeMade(stagingPath, made)
    } catch (error) {
      this.#log.error(`cannot undo the failed mount at ${stagingPath}: ${messageOf(error)}`)
    }
  }

  /** What is mounted at a path, as far as it can be looked at: what a failed mount has started ends in any case. */
  #deviceAt(path: string): string | undefined {
    try {
      return this.#mounts.mountAt(path)?.device
    } catch {
      return undefined
    }
  }

  async #stop(stagingPath: string, device: string | undefined, grace: number, call: CallContext): Promise<void> {
    try {
      await this.#host.stop(stagingPath, device, grace, call)
    } catch (error) {
      throw asVolumeError(error, `cannot end the daemon of ${stagingPath}`)
    }
  }

  #save({ volumeId, stagingPath, capability }: StageRequest, madeDirectory: boolean): void {
    const known = this.#cache.stagedAt(stagingPath)
    if (known?.bootId === this.#bootId && sameCapability(known.capability, capability)) return
    const made = madeDirectory || this.#left.has(stagingPath) || (known?.madeDirectory ?? false)
    const entry = {
      version: 1,
      kind: 'staged',
      bootId: this.#bootId,
      volumeId,
      stagingPath,
      capability,
      madeDirectory: made,
    } as const
    this.#log.info(`Saved stage mount entry to ${this.#cache.save(entry)}`)
    this.#left.forget(stagingPath)
  }

  #owned({ volumeId, stagingPath }: StageRequest): StagedEntry | undefined {
    const target = this.#cache.publishedAt(stagingPath)
    if (target !== undefined)
      throw new VolumeError('precondition', `${stagingPath} is a target of volume ${target.volumeId}; a path holds one volume`)
    const entry = this.#cache.stagedAt(stagingPath)
    if (entry === undefined || entry.volumeId === volumeId) return entry
    throw new VolumeError('precondition', `${stagingPath} is the staging path of volume ${entry.volumeId}; a path holds one volume`)
  }

  async #refuseWhilePublished(volumeId: string, stagingPath: string, call: CallContext): Promise<void> {
    const targets = this.#cache.of(volumeId).published.filter((entry) => entry.stagingPath === stagingPath)
    await Promise.all(targets.map(({ targetPath }) => this.#mounts.reachable(targetPath, call)))
    const inUse = targets.map(({ targetPath }) => targetPath).filter((path) => this.#mounts.mountAt(path) !== undefined)
    if (inUse.length > 0) {
      throw new VolumeError(
        'precondition',
        `volume ${volumeId} is still published at ${inUse.join(', ')}; unpublish it there first`,
      )
    }
  }
}

function asVolumeError(error: unknown, what: string): unknown {
  if (!(error instanceof HostError)) return error
  const kind = error.kind === 'failed' ? 'internal' : error.kind
  return new VolumeError(kind, `${what}: ${error.message}`, { cause: error })
}
