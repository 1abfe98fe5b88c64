import type { CallContext } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import { type FuseHost, HostError, QueuedError } from '../hosts/host.ts'
import type { Logger } from '../log.ts'
import { sessionAttributes } from '../os/mounts/mount-flags.ts'
import type { Binds } from './binds.ts'
import { type MountCapability, sameCapability, sameParameters, type StagedEntry } from './mount-cache-entry.ts'
import { VolumeError } from './errors.ts'
import { LeftDirectories } from './left-directories.ts'
import type { MountCache } from './mount-cache.ts'
import type { MountPoints } from './mount-points.ts'
import type { MountState, MountStates } from './mount-states.ts'
import type { Reachability } from './reachability.ts'

/** A volume to be mounted at its staging path. */
export interface StageRequest {
  readonly volumeId: string
  readonly stagingPath: string
  readonly capability: MountCapability
  /** An inline ephemeral volume, which NodePublishVolume stages. */
  readonly ephemeral?: true
  /** What a program mounts it from (serve --program). */
  readonly parameters?: Readonly<Record<string, string>>
  readonly secrets?: Readonly<Record<string, string>>
}

/** The dependencies of {@link Stager}. */
export interface StagerParts {
  readonly states: Pick<MountStates, 'staging' | 'target' | 'mountAt' | 'mounted' | 'forget'>
  readonly points: Pick<MountPoints, 'makeDirectory' | 'removeMade' | 'removeDirectory' | 'unmountAll'>
  readonly reachability: Pick<Reachability, 'check'>
  readonly binds: Pick<Binds, 'bind'>
  readonly cache: MountCache
  readonly host: Pick<FuseHost, 'start' | 'daemonAt' | 'stop' | 'beforeUnmount' | 'forget' | 'unmountedSession'>
  /** The name of the program that serves volumes; undefined for daemons of ours. */
  readonly program?: string
  readonly bootId: string
  /** Milliseconds in which a daemon whose mount was unmounted may end by itself. */
  readonly grace: number
  readonly log: Logger
}

/** A target at which a session is bound, and its super block (`major:minor`). */
interface BoundSession {
  readonly targetPath: string
  readonly device: string
}

/** Mounts volumes at their staging paths and unmounts them. The caller holds the volume's lock. */
export class Stager {
  readonly #states: StagerParts['states']
  readonly #points: StagerParts['points']
  readonly #reachability: StagerParts['reachability']
  readonly #binds: StagerParts['binds']
  readonly #cache: MountCache
  readonly #host: StagerParts['host']
  readonly #program: string | undefined
  readonly #bootId: string
  readonly #grace: number
  readonly #log: Logger
  readonly #left = new LeftDirectories()

  constructor({ states, points, reachability, binds, cache, host, program, bootId, grace, log }: StagerParts) {
    this.#states = states
    this.#points = points
    this.#reachability = reachability
    this.#binds = binds
    this.#cache = cache
    this.#host = host
    this.#program = program
    this.#bootId = bootId
    this.#grace = grace
    this.#log = log
  }

  /**
   * NodeStageVolume. It
   * 1. makes sure that every FUSE mount above the staging path answers, so that no step below waits for one;
   * 2. refuses a path that the mount cache has for another volume, or as a target;
   * 3. looks at the staging path: a live session with another capability is a conflict, a live session with this one is kept;
   * 4. unmounts a dead or hung session and ends its daemon;
   * 5. makes the directory where it is missing;
   * 6. has the host mount a session, and waits until INIT is handled; or binds the session that was unmounted there and is bound at a target;
   * 7. writes the mount cache entry.
   * Where step 6 or 7 fails, the daemon ends, and the mount and the directories that were made are removed. Throws VolumeError; then nothing new is
   * mounted.
   */
  async stage(request: StageRequest, call: CallContext): Promise<void> {
    const { volumeId, stagingPath, capability } = request
    await this.#reachability.check(stagingPath, call)
    const entry = this.#owned(request)
    const state = await this.#states.staging(stagingPath, call)
    if (entry !== undefined && state.kind === 'MOUNTED' && !sameCapability(entry.capability, capability)) {
      throw new VolumeError('conflict', `volume ${volumeId} is staged at ${stagingPath} with another capability; unstage it first`)
    }
    if (entry !== undefined && state.kind === 'MOUNTED' && !sameParameters(entry.parameters, request.parameters)) {
      throw new VolumeError('conflict', `volume ${volumeId} is staged at ${stagingPath} with other parameters; unstage it first`)
    }
    await this.#mountIn(state, request, call)
  }

  /**
   * The device of a volume's live session at its staging path. Where the session is dead, hung or missing, it is mounted again first, because the
   * kubelet does not stage again before it publishes. Throws VolumeError.
   */
  async ensure(request: StageRequest, call: CallContext): Promise<string> {
    const { stagingPath } = request
    await this.#reachability.check(stagingPath, call)
    const entry = this.#owned(request)
    const state = await this.#states.staging(stagingPath, call)
    if (state.kind === 'MOUNTED' && entry !== undefined) return state.device
    if (entry === undefined) return await this.#mountIn(state, request, call)
    const { capability, parameters } = entry
    return await this.#mountIn(state, { ...request, capability, ...(parameters === undefined ? {} : { parameters }) }, call)
  }

  /** NodeUnstageVolume: unmounts every layer and ends the daemon, in any state. Throws VolumeError. */
  async unstage(volumeId: string, stagingPath: string, call: CallContext): Promise<void> {
    await this.#reachability.check(stagingPath, call)
    const entry = this.#cache.stagedAt(stagingPath)
    if (entry !== undefined && entry.volumeId !== volumeId) {
      throw new VolumeError('precondition', `${stagingPath} is the staging path of volume ${entry.volumeId}, not of ${volumeId}`)
    }
    const target = this.#cache.publishedAt(stagingPath)
    if (target !== undefined)
      throw new VolumeError('precondition', `${stagingPath} is a target of volume ${target.volumeId}; unpublish it`)
    await this.#refuseWhilePublished(volumeId, stagingPath, call)
    const { device } = this.#states.mountAt(stagingPath) ?? {}
    call.signal.throwIfAborted()
    await this.#host.beforeUnmount?.(stagingPath, call)
    await this.#unmount(stagingPath, entry === undefined ? 'own' : 'any')
    // The volume is not staged any more, even if its daemon or its directory stays. With the entry, the next plugin would mount it again.
    if (entry !== undefined) this.#cache.remove(entry)
    if (entry?.madeDirectory === true) this.#left.add(stagingPath)
    await this.#stop(stagingPath, device, this.#grace, call)
    this.#host.forget?.(stagingPath)
    await this.#cache.removalsSynced()
    if (this.#left.has(stagingPath)) this.#left.remove(stagingPath, () => this.#points.removeDirectory(stagingPath))
  }

  /** Mounts the volume of a cache entry unless it is mounted, for a plugin that starts. Returns whether it has mounted. Throws VolumeError. */
  async restore(entry: StagedEntry, call: CallContext): Promise<boolean> {
    await this.#reachability.check(entry.stagingPath, call)
    const state = await this.#states.staging(entry.stagingPath, call)
    if (state.kind === 'MOUNTED') return false
    await this.#mountIn(state, entry, call)
    return true
  }

  async #mountIn(state: MountState, request: StageRequest, call: CallContext): Promise<string> {
    const { stagingPath } = request
    call.signal.throwIfAborted()
    switch (state.kind) {
      case 'MOUNTED':
        // A live session may have no entry: the plugin was killed before it saved one, or the session was mounted by hand. A bind of another
        // session has no daemon of its own, and would end with that session.
        if (this.#cache.stagedAt(stagingPath) === undefined) await this.#refuseBind(stagingPath, state.device, call)
        this.#save(request, false)
        return state.device
      case 'FOREIGN':
        throw new VolumeError('precondition', `${stagingPath} is a mount point of ${state.fsType} already; unmount that first`)
      case 'HUNG':
        refuseWaiting(state, stagingPath)
        return await this.#replace(state, request, call)
      case 'DEAD':
        return await this.#replace(state, request, call)
      case 'NOT_MOUNTED': {
        const target = await this.#boundAt(request, call)
        const made = state.directory ? undefined : this.#points.makeDirectory(stagingPath)
        return target === undefined ? await this.#mount(request, made, call) : await this.#bindBack(target, request, made)
      }
    }
  }

  /**
   * A target at which a session of the volume answers that runs for the staging path and is not mounted there any more; undefined where a new session may be
   * mounted.
   */
  async #boundAt({ volumeId, stagingPath }: StageRequest, call: CallContext): Promise<BoundSession | undefined> {
    const device = this.#host.unmountedSession?.(stagingPath)
    if (device === undefined) return undefined
    for (const { targetPath } of this.#cache.of(volumeId).published.filter((entry) => entry.stagingPath === stagingPath)) {
      await this.#reachability.check(targetPath, call)
      if (this.#states.mountAt(targetPath)?.device !== device) continue
      const { kind } = await this.#states.target(targetPath, undefined, call)
      if (kind === 'MOUNTED') return { targetPath, device }
    }
    return undefined
  }

  /** Binds the session of a target to the staging path, which somebody else has unmounted: the consumers keep it, and new ones get the same. */
  async #bindBack({ targetPath, device }: BoundSession, request: StageRequest, made: string | undefined): Promise<string> {
    const { stagingPath, capability } = request
    this.#log.info(`mount --bind ${targetPath} ${stagingPath} (the session that was unmounted there)`)
    const attributes = sessionAttributes(capability.mountFlags)
    try {
      await this.#binds.bind({ source: targetPath, device, target: stagingPath, attributes })
      this.#save(request, made !== undefined)
      return device
    } catch (error) {
      await this.#unmount(stagingPath, 'own')
      if (made !== undefined) this.#points.removeMade(stagingPath, made)
      throw error
    }
  }

  /**
   * Throws VolumeError unless what is mounted at a staging path is known to be a session of that path: `precondition` where the session of another
   * volume is bound there, else `unavailable`, because a dummy-fused that is being replaced cannot say which sessions it serves.
   */
  async #refuseBind(stagingPath: string, device: string, call: CallContext): Promise<void> {
    const daemon = await this.#host.daemonAt(stagingPath, device, call).catch((error: unknown) => {
      throw asVolumeError(error, `cannot learn what serves ${stagingPath}`)
    })
    if (daemon !== undefined) return
    const others = this.#cache.staged().filter((entry) => entry.stagingPath !== stagingPath)
    if (others.some((entry) => this.#states.mountAt(entry.stagingPath)?.device === device))
      throw new VolumeError('precondition', `${stagingPath} is a bind of another session already; unmount that first`)
    throw new VolumeError(
      'unavailable',
      `${stagingPath} shows a session that no daemon of this plugin is known to serve; call again, or unmount it`,
    )
  }

  /** Unmounts a dead or hung session, ends its daemon, and mounts a new session. */
  async #replace(state: MountState & { kind: 'DEAD' | 'HUNG' }, request: StageRequest, call: CallContext): Promise<string> {
    const { stagingPath } = request
    this.#log.info(`umount ${stagingPath} (${state.kind.toLowerCase()})`)
    await this.#unmount(stagingPath, 'own')
    await this.#stop(stagingPath, state.device, 0, call)
    return await this.#mount(request, undefined, call)
  }

  /** `made`: the first directory that was made for the staging path. */
  async #mount(request: StageRequest, made: string | undefined, call: CallContext): Promise<string> {
    const { stagingPath, capability, volumeId, parameters = {}, secrets } = request
    try {
      const source = { volumeId, parameters, ...(secrets === undefined ? {} : { secrets }) }
      const daemon = await this.#host.start(stagingPath, capability.mountFlags, call, source)
      const device = this.#states.mounted(stagingPath, daemon)
      call.signal.throwIfAborted()
      this.#save(request, made !== undefined)
      return device
    } catch (error) {
      // A start that is still in the queue has mounted nothing.
      await this.#undo(stagingPath, made, !(error instanceof QueuedError), call.cleanUp)
      throw asVolumeError(error, `cannot mount ${stagingPath}`)
    }
  }

  /** Ends the daemon of a failed mount, then unmounts what it had mounted, and removes the directories that were made. */
  async #undo(stagingPath: string, made: string | undefined, started: boolean, call: CallContext): Promise<void> {
    try {
      if (started) {
        await this.#host.stop(stagingPath, this.#deviceAt(stagingPath), 0, call)
        await this.#unmount(stagingPath, 'own')
      }
      if (made !== undefined) this.#points.removeMade(stagingPath, made)
    } catch (error) {
      this.#log.error(`cannot undo the failed mount at ${stagingPath}: ${messageOf(error)}`)
    } finally {
      if (this.#cache.stagedAt(stagingPath) === undefined) this.#host.forget?.(stagingPath)
    }
  }

  /** The device that is mounted at a path; undefined also where the path cannot be followed. */
  #deviceAt(path: string): string | undefined {
    try {
      return this.#states.mountAt(path)?.device
    } catch {
      return undefined
    }
  }

  async #unmount(stagingPath: string, which: 'own' | 'any'): Promise<void> {
    this.#states.forget(stagingPath)
    await this.#points.unmountAll(stagingPath, which)
  }

  async #stop(stagingPath: string, device: string | undefined, grace: number, call: CallContext): Promise<void> {
    try {
      await this.#host.stop(stagingPath, device, grace, call)
    } catch (error) {
      throw asVolumeError(error, `cannot end the daemon of ${stagingPath}`)
    }
  }

  #save({ volumeId, stagingPath, capability, ephemeral, parameters = {} }: StageRequest, madeDirectory: boolean): void {
    const known = this.#cache.stagedAt(stagingPath)
    const isSame =
      known !== undefined && sameCapability(known.capability, capability) && sameParameters(known.parameters, parameters)
    if (isSame && known.bootId === this.#bootId) return
    const made = madeDirectory || this.#left.has(stagingPath) || (known?.madeDirectory ?? false)
    const entry = {
      version: 1,
      kind: 'staged',
      bootId: this.#bootId,
      volumeId,
      stagingPath,
      capability,
      madeDirectory: made,
      ...(ephemeral === undefined ? {} : { ephemeral }),
      ...(this.#program === undefined ? {} : { program: this.#program, parameters }),
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
    await Promise.all(targets.map(({ targetPath }) => this.#reachability.check(targetPath, call)))
    const inUse = targets.map(({ targetPath }) => targetPath).filter((path) => this.#states.mountAt(path) !== undefined)
    if (inUse.length > 0) {
      throw new VolumeError(
        'precondition',
        `volume ${volumeId} is still published at ${inUse.join(', ')}; unpublish it there first`,
      )
    }
  }
}

/** Throws VolumeError `unavailable` for a session that hangs and is not to be replaced: its daemon serves other volumes too, or something else has it served again. */
function refuseWaiting({ serves, waits }: MountState & { kind: 'HUNG' }, stagingPath: string): void {
  if (serves === 'many') {
    throw new VolumeError(
      'unavailable',
      `${stagingPath} waits for a dummy-fused that is stopped and serves other volumes too; resume or end that (its process is in 'dummy-fuse-csi status')`,
    )
  }
  if (waits !== undefined) throw new VolumeError('unavailable', `${stagingPath} does not answer: ${waits}`)
}

function asVolumeError(error: unknown, what: string): unknown {
  if (!(error instanceof HostError)) return error
  const kind = error.kind === 'failed' ? 'internal' : error.kind
  return new VolumeError(kind, `${what}: ${error.message}`, { cause: error })
}
