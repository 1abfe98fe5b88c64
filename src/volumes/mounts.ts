import { rmdirSync } from 'node:fs'
import type { CallContext } from '../call-context.ts'
import { codeOf, errnoText, messageOf } from '../errors.ts'
import { type Daemon, type FuseHost, HostError } from '../hosts/host.ts'
import { makeDirectories, removeDirectories, type Within } from '../os/mounts/directories.ts'
import { type Libc, MNT_DETACH } from '../os/libc.ts'
import { isFuse, type Mount, type MountTable, type PathState } from '../os/mounts/mount-table.ts'
import type { PinnedPaths } from '../os/mounts/pinned-paths.ts'
import type { Probe } from '../os/mounts/probe.ts'
import type { Prober } from '../os/mounts/prober.ts'
import { fromErrno, VolumeError } from './errors.ts'
import { walk } from './path-walk.ts'

/** The type that every mount of dummy-fuse shows in the mount table. */
const FS_TYPE = 'fuse.dummy-fuse'

/** Layers that are taken off one path at the most: nobody stacks more, and a loop must end. */
const MOST_LAYERS = 64

/**
 * What is mounted at a path. FOREIGN is a mount, but not of dummy-fuse; DEAD answers ENOTCONN, its server gone; HUNG does not answer.
 * `device` tells one FUSE session from another, and is the same for all binds of it; `attributes` are the mount's own (MOUNT_ATTR_*); `pid` is its
 * daemon's, where that is known.
 */
export type MountState =
  | { readonly kind: 'NOT_MOUNTED'; readonly directory: boolean }
  | { readonly kind: 'MOUNTED'; readonly device: string; readonly attributes: number; readonly pid?: number }
  | { readonly kind: 'DEAD'; readonly device: string }
  | { readonly kind: 'HUNG'; readonly device: string; readonly pid?: number; readonly serves?: 'many' }
  | { readonly kind: 'FOREIGN'; readonly fsType: string }

/** A session that was alive. */
interface SeenSession {
  readonly device: string
  /** When it was asked for its last answer (performance.now()). */
  readonly at: number
}

/** The mount table by paths whose links are followed, and by paths that must have none. */
export interface MountTables {
  readonly following: MountTable
  readonly exact: MountTable
}

/** What {@link Mounts} is put together from. */
export interface MountsParts {
  readonly libc: Libc
  readonly places: PinnedPaths
  readonly tables: MountTables
  readonly host: FuseHost
  readonly prober: Prober
}

/** Looks at mount points, binds them and takes them off. Never asks a file system anything in this process. */
export class Mounts {
  readonly #libc: Libc
  readonly #tables: MountTables
  readonly #places: PinnedPaths
  readonly #within: Within
  readonly #host: FuseHost
  readonly #prober: Prober
  /** The sessions that were seen alive, by where they are mounted. */
  readonly #sessions = new Map<string, SeenSession>()

  constructor({ libc, places, tables, host, prober }: MountsParts) {
    this.#libc = libc
    this.#places = places
    this.#within = (path, act) => places.within(path, act)
    this.#tables = tables
    this.#host = host
    this.#prober = prober
  }

  /**
   * The state of a path where a session is, or was, mounted itself. A session that was alive and whose daemon still runs counts as alive for
   * `maxAge` milliseconds after its answer; then it is asked. Throws VolumeError for a path that nothing can be mounted at, and `unavailable`
   * while the state cannot be learnt.
   */
  async staging(path: string, call: CallContext, maxAge = Infinity): Promise<MountState> {
    const state = this.#at(path)
    if ('kind' in state) return state
    const { device, attributes } = state.mount
    const daemon = await this.#daemonAt(path, device, call, maxAge)
    const known = daemon === undefined ? {} : { pid: daemon.pid }
    if (daemon?.stopped === true)
      return { kind: 'HUNG', device, ...known, ...(daemon.serves === undefined ? {} : { serves: daemon.serves }) }
    const at = performance.now()
    if (daemon?.device === device) {
      this.#sessions.set(path, { device, at })
      return { kind: 'MOUNTED', device, attributes, ...known }
    }
    if (daemon !== undefined && daemon.device === undefined && this.#seen(path, device, maxAge))
      return { kind: 'MOUNTED', device, attributes, ...known }
    const answer = await this.#ask(path, device, attributes, call)
    if (answer.kind === 'MOUNTED' && daemon !== undefined) this.#sessions.set(path, { device, at })
    return answer.kind === 'MOUNTED' || answer.kind === 'HUNG' ? { ...answer, ...known } : answer
  }

  #seen(path: string, device: string, maxAge: number): boolean {
    const session = this.#sessions.get(path)
    return session?.device === device && performance.now() - session.at <= maxAge
  }

  async #daemonAt(path: string, device: string, call: CallContext, maxAge: number): Promise<Daemon | undefined> {
    try {
      return await this.#host.daemonAt(path, device, call, maxAge)
    } catch (error) {
      if (!(error instanceof HostError)) throw error
      throw new VolumeError('unavailable', `${path}: ${error.message}`, { cause: error })
    }
  }

  /** Remembers the session that has just been mounted at a path, and returns its device. Throws VolumeError if none is there. */
  admit(path: string): string {
    const mount = this.mountAt(path)
    if (mount?.fsType !== FS_TYPE)
      throw new VolumeError(
        'unavailable',
        `${path} shows ${mount?.fsType ?? 'no mount'} after dummy-fuse has mounted there; call again`,
      )
    this.#sessions.set(path, { device: mount.device, at: performance.now() })
    return mount.device
  }

  /** The state of a path that `staging`, a live session's device, may be bound to. */
  async target(path: string, staging: string | undefined, call: CallContext): Promise<MountState> {
    const state = this.#at(path)
    if ('kind' in state) return state
    const { device, attributes } = state.mount
    if (device === staging) return { kind: 'MOUNTED', device, attributes }
    return await this.#ask(path, device, attributes, call)
  }

  /** Like {@link staging} and {@link target}, without asking anybody: all that the mount table alone tells. */
  mountAt(path: string): Mount | undefined {
    const state = this.#stateAt(path)
    return state.kind === 'mount' ? state.mount : undefined
  }

  /**
   * Makes sure that system calls on a path do not wait for a FUSE file system further up, nor behind a symbolic link. Throws
   * VolumeError that names it if it does not answer. To be called before anything else is done with a path.
   */
  async reachable(path: string, call: CallContext): Promise<void> {
    for (const { path: at, mount } of walk(this.#tables.following, path, { last: 'keep' }))
      await this.answers(path, at, mount, call)
  }

  /** Makes sure that a mount `at`, on the way to a path, answers if it is one of FUSE. Throws VolumeError that names it if it does not. */
  async answers(path: string, at: string, mount: Mount, call: CallContext): Promise<void> {
    if (!isFuse(mount.fsType)) return
    const { kind } = known(await this.#prober.ask(at, mount.device, call))
    if (kind !== 'alive')
      throw new VolumeError(
        'precondition',
        `${path} lies on ${at}, a ${kind} ${mount.fsType} mount; end or resume its daemon, or unmount it (umount -l ${at})`,
      )
  }

  /** Makes a directory to mount on, with its parents; returns the first that it made, undefined if all were there. Throws VolumeError. */
  makeDirectory(path: string): string | undefined {
    try {
      return makeDirectories(path, 0o750, this.#within)
    } catch (error) {
      throw fromErrno(error, `cannot make the directory ${path}: ${messageOf(error)} (${codeOf(error) ?? 'no errno'})`)
    }
  }

  /** Takes off what covers a session at a path, layer by layer, in whatever state it is. Rejects with VolumeError. */
  async uncover(path: string, device: string): Promise<void> {
    for (let layer = 0; layer < MOST_LAYERS; layer++) {
      const mount = this.mountAt(path)
      if (mount === undefined || mount.device === device) return
      await this.#unmount(path, mount)
    }
  }

  /**
   * Takes every layer off a path, in whatever state they are. A busy or dead one is detached. `foreign`: also what is not dummy-fuse's.
   * Rejects with VolumeError for a layer that it may not or cannot take off.
   */
  async clear(path: string, foreign: boolean): Promise<void> {
    this.#sessions.delete(path)
    for (let layer = 0; layer < MOST_LAYERS; layer++) {
      const mount = this.mountAt(path)
      if (mount === undefined) return
      if (mount.fsType !== FS_TYPE && !foreign) {
        throw new VolumeError(
          'precondition',
          `${path} is a mount point of ${mount.fsType} (${mount.source}), which this plugin has not mounted; unmount it by hand (umount ${path})`,
        )
      }
      await this.#unmount(path, mount)
    }
    throw new VolumeError('internal', `${path} has more than ${MOST_LAYERS} mounts on top of each other; unmount them by hand`)
  }

  /** Takes back what {@link makeDirectory} made, as far as it is empty. */
  removeMade(path: string, made: string): void {
    removeDirectories(path, made, this.#within)
  }

  /** Removes an empty directory that nothing is mounted on; one that is not there is fine. Throws VolumeError `precondition` if it is not empty. */
  removeDirectory(path: string): void {
    try {
      this.#within(path, rmdirSync)
    } catch (error) {
      const code = codeOf(error)
      if (code === 'ENOENT') return
      if (code === 'ENOTEMPTY' || code === 'EEXIST') {
        throw new VolumeError(
          'precondition',
          `${path} holds files on the node's own disk, which belong to no volume; move them away`,
        )
      }
      throw fromErrno(error, `cannot remove ${path}: ${code === undefined ? messageOf(error) : errnoText(code)}`)
    }
  }

  async #unmount(path: string, mount: Mount): Promise<void> {
    // A FUSE file system may be hung, where only the detaching umount2(2) is known to return at once.
    const lazily = isFuse(mount.fsType)
    try {
      await this.#umount(path, lazily ? MNT_DETACH : 0)
    } catch (error) {
      if (codeOf(error) !== 'EBUSY') throw fromErrno(error, `cannot unmount ${path}: ${messageOf(error)}`)
      await this.#umount(path, MNT_DETACH)
    }
  }

  async #umount(path: string, flags: number): Promise<void> {
    await this.#places.withinAsync(path, async (name) => {
      await this.#libc.umountAsync(name, flags)
    })
  }

  async #ask(path: string, device: string, attributes: number, call: CallContext): Promise<MountState> {
    const { kind } = known(await this.#prober.ask(path, device, call))
    switch (kind) {
      case 'alive':
        return { kind: 'MOUNTED', device, attributes }
      case 'dead':
        return { kind: 'DEAD', device }
      case 'hung':
        return { kind: 'HUNG', device }
      case 'absent':
        return { kind: 'NOT_MOUNTED', directory: false }
    }
  }

  /** Asks the file system that shows at a path for its statistics. Throws VolumeError `missing` if none of dummy-fuse does. */
  async usage(path: string, call: CallContext): Promise<Exclude<Probe, { kind: 'unknown' }>> {
    const mount = this.mountAt(path)
    // What is below an absent mount has figures too: the node's own disk's.
    if (mount?.fsType !== FS_TYPE) throw new VolumeError('missing', `nothing of dummy-fuse is mounted at ${path} any more`)
    return known(await this.#prober.ask(path, mount.device, call))
  }

  #stateAt(path: string): PathState {
    try {
      return this.#tables.exact.at(path)
    } catch (error) {
      if (codeOf(error) !== 'ELOOP') throw error
      throw new VolumeError('precondition', `${path} leads through a symbolic link that was put there; name the directory itself`, {
        cause: error,
      })
    }
  }

  #at(path: string): MountState | { readonly mount: Mount } {
    const state = this.#stateAt(path)
    switch (state.kind) {
      case 'absent':
        return { kind: 'NOT_MOUNTED', directory: false }
      case 'plain':
        if (state.type === 'directory') return { kind: 'NOT_MOUNTED', directory: true }
        throw new VolumeError(
          'precondition',
          `${path} is ${state.type === 'symlink' ? 'a symbolic link' : 'a file'}, not a directory; remove it, or name a directory`,
        )
      case 'mount':
        return state.mount.fsType === FS_TYPE ? { mount: state.mount } : { kind: 'FOREIGN', fsType: state.mount.fsType }
    }
  }
}

/** What a mount has answered. Throws VolumeError `unavailable` where the question itself failed: nothing follows from that. */
function known(answer: Probe): Exclude<Probe, { kind: 'unknown' }> {
  if (answer.kind === 'unknown') throw new VolumeError('unavailable', `${answer.message}; call again`)
  return answer
}
