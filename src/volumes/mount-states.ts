import { type CallContext, timeToAnswer } from '../call-context.ts'
import { codeOf } from '../errors.ts'
import { type Daemon, type FuseHost, HostError } from '../hosts/host.ts'
import type { Layer, Mount, MountTable, PathState } from '../os/mounts/mount-table.ts'
import type { Probe } from '../os/mounts/probe.ts'
import type { Prober } from '../os/mounts/prober.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import { VolumeError } from './errors.ts'
import { DUMMY_FUSE_MOUNTS, type OwnMounts } from './own-mounts.ts'

/**
 * What is mounted at a path. FOREIGN: a file system that is no session of this plugin. DEAD: the file system answers ENOTCONN, because its server is gone. HUNG: it
 * does not answer. `device` (`major:minor`) identifies the FUSE session and is the same for all its binds. `attributes` are the mount's own
 * MOUNT_ATTR_*. `pid` is the daemon's, where it is known. `serves: 'many'`: the daemon serves other volumes too. `waits`: why requests wait, where the session is
 * served again without this plugin, so that it is not replaced.
 */
export type MountState =
  | { readonly kind: 'NOT_MOUNTED'; readonly directory: boolean }
  | { readonly kind: 'MOUNTED'; readonly device: string; readonly attributes: number; readonly pid?: number }
  | { readonly kind: 'DEAD'; readonly device: string }
  | {
      readonly kind: 'HUNG'
      readonly device: string
      readonly pid?: number
      readonly serves?: 'many'
      readonly waits?: string
    }
  | { readonly kind: 'FOREIGN'; readonly fsType: string }

/** A mount that has answered a probe. */
interface AnsweredProbe {
  readonly device: string
  /** When the probe began (performance.now()). */
  readonly at: number
}

/** The dependencies of {@link MountStates}. */
export interface MountStatesParts {
  /** The mount table by paths without symbolic links. */
  readonly table: MountTable
  readonly host: Pick<FuseHost, 'daemonAt' | 'silence'>
  readonly prober: Pick<Prober, 'ask'>
  /** Milliseconds in which a mount answers whose dummy-fused is silent. */
  readonly silentMount: number
  /** Those of dummy-fuse if not given. */
  readonly own?: OwnMounts
}

/**
 * Judges what is mounted at a path: by the mount table, by what the host says of the daemon, and by a probe where the daemon does not tell. Changes
 * nothing, and asks no file system in this process.
 */
export class MountStates {
  readonly #table: MountTable
  readonly #host: Pick<FuseHost, 'daemonAt' | 'silence'>
  readonly #prober: Pick<Prober, 'ask'>
  readonly #silentMount: number
  readonly #own: OwnMounts
  /** The last probe of each staging path whose daemon does not tell of its sessions itself. */
  readonly #probed = new Map<string, AnsweredProbe>()

  constructor({ table, host, prober, silentMount, own = DUMMY_FUSE_MOUNTS }: MountStatesParts) {
    this.#own = own
    this.#silentMount = silentMount
    this.#table = table
    this.#host = host
    this.#prober = prober
  }

  /**
   * The state of a staging path, where a session is or was mounted. `maxAge`: milliseconds for which an earlier answer of the daemon or of the
   * mount counts while the daemon's process runs; left out by a call that acts on the state. Throws
   * VolumeError: for a path where nothing can be mounted, and `unavailable` while the state cannot be determined.
   */
  async staging(path: string, call: CallContext, maxAge?: number): Promise<MountState> {
    const state = this.#at(path)
    if ('kind' in state) return state
    const { device, attributes } = state.mount
    const daemon = await this.#daemonAt(path, device, call, maxAge)
    if (daemon === 'silent') {
      // A standby may serve in its place.
      const answer = await settledWithin(this.#probe(path, device, attributes, call), this.#silentMount)
      return answer === 'late' ? { kind: 'HUNG', device } : answer
    }
    const pid = daemon?.pid === undefined ? {} : { pid: daemon.pid }
    if (daemon?.stopped === true)
      return { kind: 'HUNG', device, ...pid, ...(daemon.serves === undefined ? {} : { serves: daemon.serves }) }
    const mustBeProbed = daemon !== undefined && daemon.device === undefined
    if (daemon?.device === device || (mustBeProbed && this.#answeredWithin(path, device, maxAge)))
      return { kind: 'MOUNTED', device, attributes, ...pid }
    const at = performance.now()
    const answer = await this.#answerOf(path, device, attributes, call)
    if (answer.kind === 'MOUNTED' && mustBeProbed) this.#probed.set(path, { device, at })
    if (answer.kind === 'HUNG') {
      const waits = await this.#host.silence?.(path, device, timeToAnswer(call))
      return { ...answer, ...pid, ...(waits === undefined ? {} : { waits }) }
    }
    return answer.kind === 'MOUNTED' ? { ...answer, ...pid } : answer
  }

  /** The state of a target to which `staging`, the device of a live session, may be bound. Throws as {@link staging} does. */
  async target(path: string, staging: string | undefined, call: CallContext): Promise<MountState> {
    const state = this.#at(path)
    if ('kind' in state) return state
    const { device, attributes } = state.mount
    if (device === staging) return { kind: 'MOUNTED', device, attributes }
    return await this.#probe(path, device, attributes, call)
  }

  /** The topmost mount at a path, by the mount table alone. Throws VolumeError where the path cannot be followed. */
  mountAt(path: string): Mount | undefined {
    const state = this.#stateAt(path)
    return state.kind === 'mount' ? state.mount : undefined
  }

  /** Whether a mount at a path is a session of this plugin, or a bind of one. */
  isOwn(path: string, mount: Pick<Mount, 'fsType' | 'device'>): boolean {
    return this.#own.includes(path, mount)
  }

  /** The mounts at a path, the topmost first, by the mount table alone. Throws VolumeError where the path cannot be followed. */
  layersAt(path: string): readonly Layer[] {
    return inTable(path, () => this.#table.layers(path))
  }

  /**
   * The device of the session that a host has just mounted at a path; `daemon` is what the host said of it. A session whose INIT was handled counts
   * as one that has answered. Throws VolumeError if none is there.
   */
  mounted(path: string, daemon: Daemon | undefined): string {
    const mount = this.mountAt(path)
    if (mount === undefined || !this.isOwn(path, mount))
      throw new VolumeError(
        'unavailable',
        `${path} shows ${mount?.fsType ?? 'no mount'} after ${this.#own.name} has mounted there; call again`,
      )
    if (daemon !== undefined && daemon.device === undefined) this.#probed.set(path, { device: mount.device, at: performance.now() })
    return mount.device
  }

  /** Forgets the answers of what was mounted at a path; to be called when it is unmounted. */
  forget(path: string): void {
    this.#probed.delete(path)
  }

  /** Probes the session at a path for its statistics. Throws VolumeError `missing` if there is none. */
  async usage(path: string, call: CallContext): Promise<Exclude<Probe, { kind: 'unknown' }>> {
    const mount = this.mountAt(path)
    // statfs(2) of a path without a mount succeeds too, with the figures of the node's own disk.
    if (mount === undefined || !this.isOwn(path, mount))
      throw new VolumeError('missing', `nothing of ${this.#own.name} is mounted at ${path} any more`)
    return known(await this.#prober.ask(path, mount.device, call))
  }

  #answeredWithin(path: string, device: string, maxAge = Infinity): boolean {
    const probed = this.#probed.get(path)
    return probed?.device === device && performance.now() - probed.at <= maxAge
  }

  /** `silent`: a question about health was not answered. */
  async #daemonAt(
    path: string,
    device: string,
    call: CallContext,
    maxAge: number | undefined,
  ): Promise<Daemon | 'silent' | undefined> {
    try {
      return await this.#host.daemonAt(path, device, call, maxAge)
    } catch (error) {
      if (!(error instanceof HostError)) throw error
      if (maxAge !== undefined && error.kind === 'timeout') return 'silent'
      throw new VolumeError('unavailable', `${path}: ${error.message}`, { cause: error })
    }
  }

  /** Asks a mount, and leaves the host of a call that only asks the time to say why it is silent. */
  async #answerOf(path: string, device: string, attributes: number, call: CallContext): Promise<MountState> {
    const time = timeToAnswer(call)
    const own = this.#host.silence === undefined ? time : Math.max(time - this.#silentMount, time / 2)
    const answer = await settledWithin(this.#probe(path, device, attributes, call), own)
    return answer === 'late' ? { kind: 'HUNG', device } : answer
  }

  async #probe(path: string, device: string, attributes: number, call: CallContext): Promise<MountState> {
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

  #stateAt(path: string): PathState {
    return inTable(path, () => this.#table.at(path))
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
        return this.isOwn(path, state.mount) ? { mount: state.mount } : { kind: 'FOREIGN', fsType: state.mount.fsType }
    }
  }
}

/** Asks the mount table for a path. Throws VolumeError `precondition` for a path with a symbolic link. */
function inTable<T>(path: string, ask: () => T): T {
  try {
    return ask()
  } catch (error) {
    if (codeOf(error) !== 'ELOOP') throw error
    throw new VolumeError('precondition', `${path} leads through a symbolic link that was put there; name the directory itself`, {
      cause: error,
    })
  }
}

/** The answer of a mount. Throws VolumeError `unavailable` where the probe itself failed, which says nothing about the mount. */
export function known(answer: Probe): Exclude<Probe, { kind: 'unknown' }> {
  if (answer.kind === 'unknown') throw new VolumeError('unavailable', `${answer.message}; call again`)
  return answer
}
