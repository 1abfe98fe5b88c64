import { setImmediate } from 'node:timers/promises'
import type { CallContext } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import type { FuseHost } from '../hosts/host.ts'
import type { PublishedEntry, StagedEntry } from './entry.ts'
import { VolumeError } from './errors.ts'
import type { MountCache } from './mount-cache.ts'
import type { Mounts, MountState } from './mounts.ts'

/** Why a volume, or a part of it, cannot be reached: a CamelCase word for machines (CSI spec, VolumeHealthEntry.reason). */
type Reason =
  | 'DaemonDead'
  | 'DaemonHung'
  | 'StagingNotMounted'
  | 'StagingWrongFileSystem'
  | 'StaleBind'
  | 'TargetNotMounted'
  | 'TargetWrongFileSystem'
  | 'PathUnreachable'
  | 'StateUnknown'
  | 'MountFailed'

/** One thing that is wrong with a volume, and what to do about it. */
export interface Finding {
  readonly reason: Reason
  readonly message: string
}

/** What a path may show beside the states of a mount: it lies on a mount that does not answer, or is no directory; nobody could be asked. */
type Unclear = 'UNREACHABLE' | 'UNKNOWN'

/** A path of a volume and what stands there. STALE is a bind of a session that its staging path no longer has. */
export interface PathReport {
  readonly path: string
  readonly state: MountState['kind'] | 'STALE' | Unclear
  /** Of UNREACHABLE and UNKNOWN. */
  readonly why?: string
}

/** Volumes that are looked at in a row. */
const PORTION = 25

/** All that is known of one staged volume. */
export interface VolumeReport {
  readonly volumeId: string
  readonly stagingPath: string
  readonly state: MountState['kind'] | Unclear
  readonly daemon: { readonly pid: number } | null
  readonly targets: readonly PathReport[]
  readonly findings: readonly Finding[]
}

/** Looks at what the mount cache says should be there. Changes nothing, and is not held up by a hung mount for longer than its probe. */
export class Inspector {
  readonly #mounts: Mounts
  readonly #cache: MountCache
  readonly #host: FuseHost
  readonly #maxAge: number

  /** `maxAge`: milliseconds for which a daemon that has answered, and runs, counts as well. */
  constructor(mounts: Mounts, cache: MountCache, host: FuseHost, maxAge: number) {
    this.#mounts = mounts
    this.#cache = cache
    this.#host = host
    this.#maxAge = maxAge
  }

  /** Every staged volume. */
  async all(call: CallContext): Promise<readonly VolumeReport[]> {
    return await this.#reports(this.#cache.staged(), this.#cache.published(), call)
  }

  /** One volume, at every path it is staged at; empty if it is staged and published nowhere. */
  async volume(volumeId: string, call: CallContext): Promise<readonly VolumeReport[]> {
    const { staged, published } = this.#cache.of(volumeId)
    return await this.#reports(staged, published, call)
  }

  /** A target whose volume is staged nowhere should have been unpublished: its staging path counts as one, and shows what is missing. */
  async #reports(
    staged: readonly StagedEntry[],
    published: readonly PublishedEntry[],
    call: CallContext,
  ): Promise<readonly VolumeReport[]> {
    const places = new Map([...published, ...staged].map(({ volumeId, stagingPath }) => [stagingPath, volumeId]))
    const reports: Promise<VolumeReport>[] = []
    for (const [stagingPath, volumeId] of places) {
      reports.push(this.#report(volumeId, stagingPath, call))
      // Most are done by then: thousands that are under way at once keep the garbage collector busy. One that waits keeps no other from beginning.
      if (reports.length % PORTION === 0) await setImmediate()
    }
    return await Promise.all(reports)
  }

  async #report(volumeId: string, stagingPath: string, call: CallContext): Promise<VolumeReport> {
    const staging = await this.#staging(stagingPath, call)
    const published = this.#cache.of(volumeId).published.filter((one) => one.stagingPath === stagingPath)
    const targets = await Promise.all(published.map((one) => this.#target(one, staging, call)))
    const pid = 'pid' in staging ? staging.pid : await this.#pidAt(stagingPath, deviceIn(staging), call)
    const findings = [...stagingFindings(stagingPath, staging, pid), ...targets.flatMap(targetFindings)]
    return {
      volumeId,
      stagingPath,
      state: staging.kind,
      daemon: pid === undefined ? null : { pid },
      targets,
      findings: merge(findings),
    }
  }

  async #pidAt(path: string, device: string | undefined, call: CallContext): Promise<number | undefined> {
    const daemon = await this.#host.daemonAt(path, device, call).catch(() => undefined)
    return daemon?.pid
  }

  async #staging(path: string, call: CallContext): Promise<MountState | NoState> {
    try {
      await this.#mounts.reachable(path, call)
      return await this.#mounts.staging(path, call, this.#maxAge)
    } catch (error) {
      const device = this.#deviceAt(path)
      return { ...noState(error), ...(device === undefined ? {} : { device }) }
    }
  }

  /** By the mount table, which nobody has to answer for; undefined too where a path cannot be followed. */
  #deviceAt(path: string): string | undefined {
    try {
      return this.#mounts.mountAt(path)?.device
    } catch {
      return undefined
    }
  }

  async #target({ targetPath: path }: PublishedEntry, staging: MountState | NoState, call: CallContext): Promise<PathReport> {
    const device = deviceIn(staging)
    try {
      await this.#mounts.reachable(path, call)
      const mount = this.#mounts.mountAt(path)
      // A bind of the same session is as well as that is, and need not be asked.
      if (mount !== undefined && mount.device === device)
        return { path, state: staging.kind, ...('message' in staging ? { why: staging.message } : {}) }
      const state = await this.#mounts.target(path, device, call)
      return { path, state: state.kind === 'NOT_MOUNTED' || state.kind === 'FOREIGN' ? state.kind : 'STALE' }
    } catch (error) {
      const { kind, message } = noState(error)
      return { path, state: kind, why: message }
    }
  }
}

/** A path whose state cannot be told, and why; `device` of what the mount table shows there. */
interface NoState {
  readonly kind: Unclear
  readonly message: string
  readonly device?: string
}

function noState(error: unknown): NoState {
  const asked = error instanceof VolumeError && error.kind === 'unavailable'
  return { kind: asked ? 'UNKNOWN' : 'UNREACHABLE', message: messageOf(error) }
}

function deviceIn(state: MountState | NoState): string | undefined {
  return 'device' in state ? state.device : undefined
}

function stagingFindings(path: string, state: MountState | NoState, pid: number | undefined): readonly Finding[] {
  const again = 'call NodeStageVolume or NodePublishVolume for the volume, or restart the plugin, then restart its consumers'
  switch (state.kind) {
    case 'MOUNTED':
      return []
    case 'DEAD':
      return [{ reason: 'DaemonDead', message: `the FUSE daemon of ${path} is gone, every access gets ENOTCONN; ${again}` }]
    case 'HUNG':
      return [
        {
          reason: 'DaemonHung',
          message: `the FUSE daemon of ${path}${pid === undefined ? '' : ` (process ${pid})`} does not answer; resume or kill it, then ${again}`,
        },
      ]
    case 'NOT_MOUNTED':
      return [{ reason: 'StagingNotMounted', message: `nothing is mounted at ${path}, where the volume was staged; ${again}` }]
    case 'UNREACHABLE':
      return [{ reason: 'PathUnreachable', message: state.message }]
    case 'UNKNOWN':
      return [{ reason: 'StateUnknown', message: state.message }]
    case 'FOREIGN':
      return [
        { reason: 'StagingWrongFileSystem', message: `${path} shows a ${state.fsType} file system; unmount it, then ${again}` },
      ]
  }
}

function targetFindings({ path, state, why }: PathReport): readonly Finding[] {
  const again = 'restart the consumer, so that the volume is unpublished and published again'
  switch (state) {
    case 'STALE':
      return [{ reason: 'StaleBind', message: `${path} is bound to a session that its staging path no longer has; ${again}` }]
    case 'NOT_MOUNTED':
      return [
        {
          reason: 'TargetNotMounted',
          message: `nothing is mounted at ${path}, what is written there lands on the node's own disk; ${again}`,
        },
      ]
    case 'FOREIGN':
      return [{ reason: 'TargetWrongFileSystem', message: `${path} shows a file system that is not the volume's; ${again}` }]
    case 'UNREACHABLE':
      return [{ reason: 'PathUnreachable', message: why ?? path }]
    case 'UNKNOWN':
      return [{ reason: 'StateUnknown', message: why ?? path }]
    case 'MOUNTED':
    case 'DEAD':
    case 'HUNG':
      return []
  }
}

/** One finding per reason, as the CSI spec has it; their messages are joined. */
export function merge(findings: readonly Finding[]): readonly Finding[] {
  const byReason = Map.groupBy(findings, ({ reason }) => reason)
  return [...byReason].map(([reason, all]) => ({ reason, message: [...new Set(all.map(({ message }) => message))].join('; ') }))
}
