import { setImmediate } from 'node:timers/promises'
import { type CallContext, timeToAnswer } from '../call-context.ts'
import { messageOf } from '../errors.ts'
import type { FuseHost, SessionAdvice } from '../hosts/host.ts'
import type { Mount } from '../os/mounts/mount-table.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import type { ConsumerPod, PublishedEntry, StagedEntry } from './mount-cache-entry.ts'
import { VolumeError } from './errors.ts'
import type { MountCache } from './mount-cache.ts'
import type { MountState, MountStates } from './mount-states.ts'
import type { Reachability } from './reachability.ts'
import type { StaleConsumers } from './stale-consumers.ts'

/** Why a volume, or a part of it, cannot be reached: a CamelCase word for machines (CSI spec, VolumeHealthEntry.reason). */
type Reason =
  | 'DaemonDead'
  | 'DaemonHung'
  | 'StagingNotMounted'
  | 'StagingWrongFileSystem'
  | 'StaleBind'
  | 'ConsumerStale'
  | 'TargetNotMounted'
  | 'TargetWrongFileSystem'
  | 'PathUnreachable'
  | 'StateUnknown'
  | 'MountFailed'

/** A problem of a volume, and what to do about it. */
export interface Finding {
  readonly reason: Reason
  readonly message: string
}

/** UNREACHABLE: a path lies on a mount that does not answer, or is no directory. UNKNOWN: its state could not be determined. */
type Unclear = 'UNREACHABLE' | 'UNKNOWN'

/** A path of a volume and its state. STALE: a bind of a session that has ended, and is not mounted at the staging path any more. */
export interface PathReport {
  readonly path: string
  readonly state: MountState['kind'] | 'STALE' | Unclear
  /** A target that is bound to another session than its staging path has. */
  readonly isSeparate?: true
  /** How many mounts of earlier sessions lie below the topmost one, if any: a restore by stacking leaves one. */
  readonly covers?: number
  /** The reason for UNREACHABLE and UNKNOWN. */
  readonly why?: string
  /** The consumer of a target, if the kubelet has named it. */
  readonly pod?: ConsumerPod
  /** The consumers that have a session which was replaced at the path; `unseen` if one may have. Absent if none has. */
  readonly staleConsumers?: readonly string[] | 'unseen'
}

/** Consumers that one finding names. */
const MOST_NAMED = 5

/** Volumes whose inspection begins in one turn of the event loop. */
const PORTION = 25

/** The path that a question about a volume's health is about; the target counts if both are named. All paths if none is. */
export interface AskedPaths {
  readonly staging?: string
  readonly target?: string
}

/** One staged volume: its state, its daemon, its targets and its problems. */
export interface VolumeReport {
  readonly volumeId: string
  readonly stagingPath: string
  /** An inline ephemeral volume, which NodePublishVolume staged. */
  readonly ephemeral?: true
  /** The name of the program that serves it; absent for a daemon of ours. */
  readonly program?: string
  /** Its contents are in the memory of its daemon, and lost when that ends (mount option writable). */
  readonly inMemory?: true
  readonly state: MountState['kind'] | Unclear
  readonly daemon: { readonly pid: number } | null
  readonly targets: readonly PathReport[]
  readonly findings: readonly Finding[]
}

/** The dependencies of {@link Inspector}. */
export interface InspectorParts {
  readonly states: Pick<MountStates, 'staging' | 'target' | 'mountAt' | 'layersAt' | 'isOwn'>
  readonly reachability: Pick<Reachability, 'check'>
  readonly cache: Pick<MountCache, 'staged' | 'published' | 'of'>
  readonly host: Pick<FuseHost, 'daemonAt' | 'advice'>
  readonly staleConsumers: Pick<StaleConsumers, 'of'>
  /** Milliseconds for which an answer of a daemon counts, while its process runs. */
  readonly maxAge: number
}

/** Compares the mount cache with what is mounted. Changes nothing, and waits for a hung mount no longer than its probe does. */
export class Inspector {
  readonly #states: InspectorParts['states']
  readonly #reachability: InspectorParts['reachability']
  readonly #cache: InspectorParts['cache']
  readonly #host: InspectorParts['host']
  readonly #staleConsumers: InspectorParts['staleConsumers']
  readonly #maxAge: number

  constructor({ states, reachability, cache, host, staleConsumers, maxAge }: InspectorParts) {
    this.#states = states
    this.#reachability = reachability
    this.#cache = cache
    this.#host = host
    this.#staleConsumers = staleConsumers
    this.#maxAge = maxAge
  }

  /** Every staged volume. */
  async all(call: CallContext): Promise<readonly VolumeReport[]> {
    return await this.#reports(this.#cache.staged(), this.#cache.published(), call)
  }

  /**
   * One volume, at every path it is staged at, or at the path that is asked about; empty if it is staged and published at none of them. The report about a
   * target has that target and its staging path alone, because other targets belong to other consumers.
   */
  async volume(volumeId: string, call: CallContext, { staging, target }: AskedPaths = {}): Promise<readonly VolumeReport[]> {
    const { staged, published } = this.#cache.of(volumeId)
    if (target !== undefined) {
      const atTarget = published.filter(({ targetPath }) => targetPath === target)
      return await this.#reports([], atTarget, call, true)
    }
    if (staging === undefined) return await this.#reports(staged, published, call)
    const atStaging = staged.filter(({ stagingPath }) => stagingPath === staging)
    return await this.#reports(atStaging, [], call)
  }

  /**
   * A target whose volume is not staged should have been unpublished: its staging path is reported too, as one where nothing is mounted. `targetAlone`: the staging
   * path counts as far as the target is a bind of it.
   */
  async #reports(
    staged: readonly StagedEntry[],
    published: readonly PublishedEntry[],
    call: CallContext,
    targetAlone = false,
  ): Promise<readonly VolumeReport[]> {
    const places = new Map([...published, ...staged].map((entry) => [entry.stagingPath, entry]))
    const targets = Map.groupBy(published, ({ stagingPath }) => stagingPath)
    const reports: Promise<VolumeReport>[] = []
    for (const [stagingPath, entry] of places) {
      reports.push(this.#report(entry, targets.get(stagingPath) ?? [], call, targetAlone))
      // Thousands at once keep the garbage collector busy. Most are done after a turn of the event loop; one that waits does not delay the next.
      if (reports.length % PORTION === 0) await setImmediate()
    }
    return await Promise.all(reports)
  }

  async #report(
    entry: StagedEntry | PublishedEntry,
    published: readonly PublishedEntry[],
    call: CallContext,
    targetAlone: boolean,
  ): Promise<VolumeReport> {
    const { volumeId, stagingPath, ephemeral, capability } = entry
    const program = entry.kind === 'staged' ? entry.program : undefined
    const asked = this.#staging(stagingPath, call)
    // At the same time: each has the call's whole time.
    const targets = await Promise.all(
      published.map(async (one) => {
        const report = await this.#target(one, asked, call)
        return one.pod === undefined ? report : { ...report, pod: one.pod }
      }),
    )
    const staging = await asked
    const pid = await this.#pidOf(staging, stagingPath, call)
    const findings = [
      ...(targetAlone && targets.every(({ isSeparate }) => isSeparate)
        ? []
        : stagingFindings(stagingPath, staging, this.#host.advice)),
      ...targets.flatMap((target) => [...targetFindings(target, this.#host.advice), ...consumerFindings(target)]),
    ]
    return {
      volumeId,
      stagingPath,
      ...(ephemeral === undefined ? {} : { ephemeral }),
      ...(program === undefined ? {} : { program }),
      ...(program === undefined && capability.mountFlags.includes('writable') ? { inMemory: true } : {}),
      state: staging.kind,
      daemon: pid === undefined ? null : { pid },
      targets,
      findings: merge(findings),
    }
  }

  async #pidOf(staging: MountState | NoState, path: string, call: CallContext): Promise<number | undefined> {
    // The daemon of these was asked, and is named if it is known.
    if (staging.kind === 'MOUNTED' || staging.kind === 'HUNG') return staging.pid
    const asked = this.#host.daemonAt(path, deviceIn(staging), call, this.#maxAge).catch(() => undefined)
    const daemon = await settledWithin(asked, timeToAnswer(call))
    return daemon === 'late' ? undefined : daemon?.pid
  }

  async #staging(path: string, call: CallContext): Promise<MountState | NoState> {
    try {
      await this.#reachability.check(path, call)
      return await this.#states.staging(path, call, this.#maxAge)
    } catch (error) {
      const device = this.#deviceAt(path)
      return { ...noState(error), ...(device === undefined ? {} : { device }) }
    }
  }

  /** The device at a path by the mount table alone; undefined also where the path cannot be followed. */
  #deviceAt(path: string): string | undefined {
    try {
      return this.#states.mountAt(path)?.device
    } catch {
      return undefined
    }
  }

  async #target(entry: PublishedEntry, staging: Promise<MountState | NoState>, call: CallContext): Promise<PathReport> {
    const { targetPath: path } = entry
    try {
      await this.#reachability.check(path, call)
      const [mount, ...below] = this.#states.layersAt(path)
      const covers = below.length === 0 ? {} : { covers: below.length }
      const bound = mount !== undefined && this.#states.isOwn(path, mount) ? mount.device : undefined
      const [state, stale] = await Promise.all([
        this.#sessionOf(entry, mount, staging, call),
        this.#staleConsumers.of(entry, bound, call),
      ])
      // A bind of the staging path's session has that very state.
      const isSeparate = bound !== undefined && state !== (await staging)
      const staleConsumers = state.kind === 'HUNG' ? [] : stale
      return {
        path,
        state: isSeparate && state.kind === 'DEAD' ? 'STALE' : state.kind,
        ...(isSeparate ? { isSeparate } : {}),
        ...covers,
        ...(staleConsumers.length === 0 ? {} : { staleConsumers }),
        ...('message' in state ? { why: state.message } : {}),
      }
    } catch (error) {
      const { kind, message } = noState(error)
      return { path, state: kind, why: message }
    }
  }

  /** A bind has the state of its session: that of the staging path, or one of its own. */
  async #sessionOf(
    { targetPath, stagingPath }: PublishedEntry,
    mount: Mount | undefined,
    staging: Promise<MountState | NoState>,
    call: CallContext,
  ): Promise<MountState | NoState> {
    if (mount !== undefined && mount.device === this.#deviceAt(stagingPath)) {
      const state = await staging
      if (deviceIn(state) === mount.device) return state
    }
    return await this.#states.target(targetPath, undefined, call)
  }
}

/** A path whose state could not be determined, and why; `device` is what the mount table shows there. */
interface NoState {
  readonly kind: Unclear
  readonly message: string
  readonly device?: string
}

function noState(error: unknown): NoState {
  const unavailable = error instanceof VolumeError && error.kind === 'unavailable'
  return { kind: unavailable ? 'UNKNOWN' : 'UNREACHABLE', message: messageOf(error) }
}

function deviceIn(state: MountState | NoState): string | undefined {
  return 'device' in state ? state.device : undefined
}

function stagingFindings(path: string, state: MountState | NoState, advice: SessionAdvice | undefined): readonly Finding[] {
  const again = 'call NodeStageVolume or NodePublishVolume for the volume, or restart the plugin, then restart its consumers'
  switch (state.kind) {
    case 'MOUNTED':
      return []
    case 'DEAD':
      return [
        {
          reason: 'DaemonDead',
          message: `the FUSE daemon of ${path} is gone, every access gets ENOTCONN; ${advice?.dead ?? again}`,
        },
      ]
    case 'HUNG':
      return [
        state.waits === undefined
          ? hung(path, advice?.hung ?? `resume or kill it, then ${again}`)
          : { reason: 'DaemonHung', message: `${path} does not answer: ${state.waits}` },
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

function targetFindings({ path, state, isSeparate, why }: PathReport, advice: SessionAdvice | undefined): readonly Finding[] {
  const again = 'restart the consumer, so that the volume is unpublished and published again'
  switch (state) {
    case 'STALE':
      return [
        {
          reason: 'StaleBind',
          message: `${path} is bound to a session that has ended, and that its staging path no longer has; ${again}`,
        },
      ]
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
    case 'HUNG':
      return isSeparate ? [hung(path, advice?.hung ?? `resume or kill it, then ${again}`)] : []
    case 'MOUNTED':
    case 'DEAD':
      return []
  }
}

function hung(path: string, advice: string): Finding {
  return { reason: 'DaemonHung', message: `the FUSE daemon of ${path} does not answer; ${advice}` }
}

function consumerFindings({ path, staleConsumers: stale = [] }: PathReport): readonly Finding[] {
  const again = 'restart the consumer, so that the volume is unpublished and published again'
  if (stale === 'unseen') {
    const message = `${path} was bound to a new session since it was published, which its running consumer does not have; ${again}`
    return [{ reason: 'ConsumerStale', message }]
  }
  if (stale.length === 0) return []
  const more = stale.length - MOST_NAMED
  const named = `${stale.slice(0, MOST_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
  const message = `${path} was bound to a new session, and a consumer has the earlier one (${named}); ${again}`
  return [{ reason: 'ConsumerStale', message }]
}

/** One finding per reason, as the CSI spec has it; their messages are joined. */
export function merge(findings: readonly Finding[]): readonly Finding[] {
  const byReason = Map.groupBy(findings, ({ reason }) => reason)
  return [...byReason].map(([reason, all]) => ({ reason, message: [...new Set(all.map(({ message }) => message))].join('; ') }))
}
