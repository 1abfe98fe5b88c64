import { isDeepStrictEqual } from 'node:util'
import type { CallContext } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import {
  ATIME,
  attributesOfFlags,
  attributesText,
  MOUNT_ATTR,
  sessionAttributes,
  withFlagOptions,
} from '../os/mounts/mount-flags.ts'
import type { BindOrder, Binds } from './binds.ts'
import { bound, type ConsumerPod, type MountCapability, type PublishedEntry, sameCapability } from './mount-cache-entry.ts'
import { VolumeError } from './errors.ts'
import { LeftDirectories } from './left-directories.ts'
import type { MountCache } from './mount-cache.ts'
import type { MountPoints } from './mount-points.ts'
import type { MountState, MountStates } from './mount-states.ts'
import type { Reachability } from './reachability.ts'
import type { Stager } from './stager.ts'

/** A staged volume to be bound to a target. */
export interface PublishRequest {
  readonly volumeId: string
  readonly stagingPath: string
  readonly targetPath: string
  readonly readonly: boolean
  readonly capability: MountCapability
  /** An inline ephemeral volume: the staging path is the plugin's own. */
  readonly ephemeral?: true
  /** The consumer, if the kubelet names it. */
  readonly pod?: ConsumerPod
  /** What a program mounts the volume from, if it is not staged. */
  readonly parameters?: Readonly<Record<string, string>>
  readonly secrets?: Readonly<Record<string, string>>
}

/** The dependencies of {@link Publisher}. */
export interface PublisherParts {
  readonly states: Pick<MountStates, 'target' | 'mountAt' | 'layersAt'>
  readonly points: Pick<MountPoints, 'makeDirectory' | 'removeMade' | 'removeDirectory' | 'removeMountPoint' | 'unmountAll'>
  readonly reachability: Pick<Reachability, 'check'>
  readonly binds: Pick<Binds, 'bind' | 'rebind' | 'stack' | 'setAttributes'>
  readonly cache: MountCache
  readonly stager: Pick<Stager, 'ensure'>
  readonly restoreMode: RestoreMode
  readonly bootId: string
  readonly log: Logger
}

/**
 * What is done with the dead mount of a target when a new session is bound there. `stack`: the new session is attached on top of it, and propagates to
 * the consumers that have the target at a path of their own. `replace`: it is unmounted.
 */
export type RestoreMode = 'stack' | 'replace'

/** The outcome of a bind. */
interface Bound {
  /** Whether something was changed. */
  readonly done: boolean
  /** The file of the entry that was saved. */
  readonly file: string | undefined
}

/** Binds staged volumes to targets and unmounts them. The caller holds the volume's lock. */
export class Publisher {
  readonly #states: PublisherParts['states']
  readonly #points: PublisherParts['points']
  readonly #reachability: PublisherParts['reachability']
  readonly #binds: PublisherParts['binds']
  readonly #cache: MountCache
  readonly #stager: PublisherParts['stager']
  readonly #restoreMode: RestoreMode
  readonly #bootId: string
  readonly #log: Logger
  readonly #left = new LeftDirectories()

  constructor({ states, points, reachability, binds, cache, stager, restoreMode, bootId, log }: PublisherParts) {
    this.#states = states
    this.#points = points
    this.#reachability = reachability
    this.#binds = binds
    this.#cache = cache
    this.#stager = stager
    this.#restoreMode = restoreMode
    this.#bootId = bootId
    this.#log = log
  }

  /** NodePublishVolume. Throws VolumeError; then nothing new is bound. */
  async publish(request: PublishRequest, call: CallContext): Promise<void> {
    if (request.targetPath === request.stagingPath) {
      throw new VolumeError('invalid', `target_path and staging_target_path are both ${request.targetPath}; name two directories`)
    }
    const known = this.#compatible(request)
    await this.#reachability.check(request.targetPath, call)
    const device = await this.#stager.ensure(request, call)
    const { file } = await this.#bindIn(device, request, known, (entry) => this.#cache.save(entry), call)
    if (file !== undefined) this.#log.info(`Saved publish mount entry to ${file}`)
  }

  /** NodeUnpublishVolume: unmounts every layer at the target, in any state, and removes the directory. Throws VolumeError. */
  async unpublish(volumeId: string, targetPath: string, call: CallContext): Promise<void> {
    await this.#reachability.check(targetPath, call)
    const entry = this.#cache.publishedAt(targetPath)
    if (entry !== undefined && entry.volumeId !== volumeId) {
      throw new VolumeError('precondition', `${targetPath} is a target of volume ${entry.volumeId}, not of ${volumeId}`)
    }
    if (this.#cache.stagedAt(targetPath) !== undefined) {
      throw new VolumeError('precondition', `${targetPath} is a staging path; unstage it`)
    }
    const ours = entry !== undefined || this.#left.has(targetPath) || this.#states.mountAt(targetPath) !== undefined
    if (entry !== undefined && (await this.#hasPeers(entry, call))) this.#removeAlone(targetPath)
    await this.#points.unmountAll(targetPath, entry === undefined ? 'own' : 'any')
    // The volume is not published any more, even if its directory stays. With the entry, the next plugin would bind it again.
    if (entry !== undefined) this.#cache.remove(entry)
    if (ours) this.#left.add(targetPath)
    await this.#cache.removalsSynced()
    if (ours) this.#left.remove(targetPath, () => this.#points.removeDirectory(targetPath))
  }

  /**
   * Whether a target's stacked mounts lie on mounts that are peers of those at another target of the volume: an unmount there would propagate to that one. Such binds
   * are made before Linux 5.12, and were by earlier versions.
   */
  async #hasPeers({ volumeId, targetPath }: PublishedEntry, call: CallContext): Promise<boolean> {
    const [, ...covered] = this.#states.layersAt(targetPath)
    const groups = new Set(covered.map(({ peerGroup }) => peerGroup).filter((group) => group !== undefined))
    if (groups.size === 0) return false
    for (const other of this.#cache.of(volumeId).published) {
      if (other.targetPath === targetPath) continue
      try {
        await this.#reachability.check(other.targetPath, call)
        if (this.#states.layersAt(other.targetPath).some(({ peerGroup = '' }) => groups.has(peerGroup))) return true
      } catch (error) {
        // It cannot be looked at, which is no reason to leave this one mounted.
        if (!(error instanceof VolumeError)) throw error
      }
    }
    return false
  }

  /** Takes the mounts of a target off and leaves those of its peers. */
  #removeAlone(targetPath: string): void {
    const reason = this.#points.removeMountPoint(targetPath, this.#states.layersAt(targetPath).length)
    if (reason !== undefined)
      this.#log.warning(
        `cannot unmount ${targetPath} alone: ${reason}; the volume's other targets, which are its peers, have the dead mount again`,
      )
  }

  /** Binds the volume of a cache entry unless it is bound, for a plugin that starts. Returns whether it has bound. Throws VolumeError. */
  async restore(entry: PublishedEntry, call: CallContext): Promise<boolean> {
    await this.#reachability.check(entry.targetPath, call)
    const device = await this.#stager.ensure(entry, call)
    const known = this.#cache.publishedAt(entry.targetPath) ?? entry
    const save = (written: PublishedEntry): string | undefined => {
      try {
        return this.#cache.save(written)
      } catch (error) {
        // Health compares the entry with what is bound, and so does the next restore.
        const { targetPath } = written
        this.#log.warning(`cannot write the mount cache entry of ${targetPath}, which is mounted all the same: ${messageOf(error)}`)
        return undefined
      }
    }
    const { done } = await this.#bindIn(device, entry, known, save, call)
    return done
  }

  /**
   * Has a target show the session `device`. The entry is saved before that, unless `known`, the entry that is there, says the same: a plugin that is killed in
   * between finds its mount by it (own-mounts.ts). Rejects with VolumeError, or what `save` throws; then there is no entry if there was none.
   */
  async #bindIn(
    device: string,
    request: PublishRequest,
    known: PublishedEntry | undefined,
    save: (entry: PublishedEntry) => string | undefined,
    call: CallContext,
  ): Promise<Bound> {
    const { stagingPath, targetPath } = request
    const state = await this.#states.target(targetPath, device, call)
    call.signal.throwIfAborted()
    if (state.kind === 'FOREIGN')
      throw new VolumeError('precondition', `${targetPath} is a mount point of ${state.fsType} already; unmount that first`)
    if (state.kind === 'MOUNTED' && state.device !== device && known === undefined)
      throw new VolumeError('precondition', `${targetPath} is a mount point of another session already; unmount that first`)
    const order = { source: stagingPath, device, target: targetPath, attributes: this.#attributes(request) }
    const entry = this.#entryOf(request, known, device, state)
    const file = entry === undefined ? undefined : save(entry)
    try {
      return { done: await this.#bindOver(state, order, known !== undefined, call), file }
    } catch (error) {
      if (known === undefined && entry !== undefined) this.#withdraw(entry)
      throw error
    }
  }

  /**
   * The entry of a target that `device` is bound to in place of `state`; undefined if `known` says the same. A second NodePublishVolume forgets no session that was
   * replaced: a kubelet that has restarted publishes the targets of its running pods again. Only NodeUnpublishVolume says that the consumer has ended.
   */
  #entryOf(
    request: PublishRequest,
    known: PublishedEntry | undefined,
    device: string,
    state: MountState,
  ): PublishedEntry | undefined {
    const bootId = this.#bootId
    const asked = strip(request)
    if (known === undefined) return { version: 1, kind: 'published', bootId, ...asked, device }
    const { version, kind, capability } = known
    const found = 'device' in state ? state.device : undefined
    const entry: PublishedEntry = { version, kind, bootId, ...asked, capability, ...bound(known, { bootId, device, found }) }
    return isDeepStrictEqual(entry, known) ? undefined : entry
  }

  /** Removes the entry of a target that could not be bound. */
  #withdraw(entry: PublishedEntry): void {
    try {
      this.#cache.remove(entry)
    } catch (error) {
      this.#log.warning(
        `cannot remove the mount cache entry of ${entry.targetPath}, which could not be mounted: ${messageOf(error)}`,
      )
    }
  }

  /** `ours`: whether the mount cache has the target, so that what is mounted there is a bind of this plugin. Resolves to whether something was changed. */
  async #bindOver(
    state: Exclude<MountState, { kind: 'FOREIGN' }>,
    order: BindOrder,
    ours: boolean,
    call: CallContext,
  ): Promise<boolean> {
    const { source, target, device, attributes } = order
    switch (state.kind) {
      case 'MOUNTED':
        if (state.device === device) return await this.#setAttributes(target, state.attributes, attributes, call)
        this.#log.info(`mount --bind ${source} ${target} (in place of another session)`)
        await this.#binds.rebind(order)
        return true
      case 'DEAD':
      case 'HUNG':
        if (state.kind === 'DEAD' && ours && this.#stacksAt(target)) await this.#stack(order)
        else {
          this.#log.info(`umount ${target} (${state.kind.toLowerCase()})`)
          await this.#binds.rebind(order)
        }
        return true
      case 'NOT_MOUNTED': {
        const made = state.directory ? undefined : this.#points.makeDirectory(target)
        try {
          await this.#binds.bind(order)
        } catch (error) {
          if (made !== undefined) this.#points.removeMade(target, made)
          throw error
        }
        this.#left.forget(target)
        return true
      }
    }
  }

  /** Whether a new session is attached on top of the dead mount of a target. What is mounted on a mount that is not shared reaches no consumer. */
  #stacksAt(targetPath: string): boolean {
    return this.#restoreMode === 'stack' && this.#states.layersAt(targetPath)[0]?.peerGroup !== undefined
  }

  async #stack(order: BindOrder): Promise<void> {
    const { source, target } = order
    this.#log.info(`mount --bind ${source} ${target} (on top of the dead mount)`)
    const reason = await this.#binds.stack(order)
    if (reason !== undefined)
      this.#log.warning(
        `cannot take off the dead mounts below the new one at ${target}, which stay until it is unpublished: ${reason}`,
      )
  }

  /** Sets the attributes of a target's bind in place, where they differ from those that are wanted. Returns whether they did. */
  async #setAttributes(targetPath: string, attributes: number, wanted: number, call: CallContext): Promise<boolean> {
    if (attributes === wanted) return false
    this.#log.info(`mount -o remount,bind,${attributesText(wanted)} ${targetPath}`)
    await this.#binds.setAttributes(targetPath, wanted, call)
    return true
  }

  /**
   * MOUNT_ATTR_* of the bind at a target: those of the session as it was staged, and the restrictions that Publish adds. Publish removes no
   * restriction of the session: a read-only super block is read-only at every bind.
   */
  #attributes({ stagingPath, readonly, capability }: PublishRequest): number {
    const staged = this.#cache.stagedAt(stagingPath)?.capability ?? capability
    const session = sessionAttributes(staged.mountFlags)
    const own = attributesOfFlags(withFlagOptions(0, capability.mountFlags)) | (readonly ? MOUNT_ATTR.RDONLY : 0)
    const atime = namesAtime(capability.mountFlags) ? own & ATIME : session & ATIME
    return ((session | own) & ~ATIME) | atime
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

/** Whether mount flags name an access time mode; without one a bind has its session's. */
function namesAtime(mountFlags: readonly string[]): boolean {
  return mountFlags.some((flag) => /^(no)?(rel|strict)?atime$/.test(flag))
}

/** The fields that the mount cache keeps, without any others of the object. */
function strip({ volumeId, stagingPath, targetPath, readonly, capability, ephemeral, pod }: PublishRequest): PublishRequest {
  return {
    volumeId,
    stagingPath,
    targetPath,
    readonly,
    capability,
    ...(ephemeral === undefined ? {} : { ephemeral }),
    ...(pod === undefined ? {} : { pod }),
  }
}
