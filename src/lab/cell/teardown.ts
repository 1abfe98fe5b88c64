import { existsSync, readdirSync, rmdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, errnoText, messageOf } from '../../errors.ts'
import { CallError } from '../../grpc/client.ts'
import { topmostAt } from '../../os/mounts/mountinfo.ts'
import type { Clock } from '../clock.ts'
import type { Kubelet } from '../kubelet.ts'
import { ENOUGH } from '../matrix/classify.ts'
import type { CellEvent, Leftovers, NewPod, Teardown, TeardownCall } from '../matrix/lab-record.ts'
import type { MountSnapshot } from '../mount-snapshot.ts'
import { stagingPath } from '../node-paths.ts'
import { STEP_DEADLINE, until, within } from '../wait.ts'
import type { CellConsumer } from './cell-consumer.ts'
import { holdersLeft, mountsLeft } from './evidence.ts'
import type { PluginControl } from './harness.ts'
import type { NodeDisk } from './node-disk.ts'
import type { PodReplacement } from './pod-replacement.ts'
import { type FoundRecords, missingOf } from './read-back.ts'
import { eventsOf } from './read-log.ts'
import type { Timeline } from './timeline.ts'
import type { VolumeOperations } from './volume-operations.ts'

/** How often the kubelet makes a call that fails, before the lab says that it fails for ever. */
const ATTEMPTS = 4

/** Milliseconds to the second attempt; each later pause is twice as long (kubernetes pkg/util/goroutinemap/exponentialbackoff). */
const FIRST_PAUSE = 500

/** Milliseconds within which the last attempt of a call begins; the time of a call if that is longer. */
const ATTEMPTS_WITHIN = 10_000

/** Milliseconds that a daemon has to end, and a lazy unmount to be through, when its volume has gone. */
const LATE_END = 2000

/** Names of files that an error tells. */
const MOST_NAMES = 3

/** What a teardown is done with. */
interface Means {
  readonly kubelet: Kubelet
  /** Of the volume. */
  readonly operations: VolumeOperations
  readonly plugin: PluginControl
  readonly consumers: readonly CellConsumer[]
  /** Those that were deleted before, and are not gone, leave with the others. */
  readonly pods: Pick<PodReplacement, 'terminating'>
  readonly newPod: () => CellConsumer
  /** What was mounted before the volume was used for the first time. */
  readonly before: MountSnapshot
  readonly disk: NodeDisk
  readonly clock: Clock
  readonly timeline: Timeline
  readonly times: Times
}

/** Milliseconds that a call may take, and for which a consumer is watched that reads wrong. */
interface Times {
  readonly callTimeout: number
  readonly watch: number
}

/** Milliseconds after which a teardown begins nothing more. */
function latest({ callTimeout, watch }: Times): number {
  return 2 * STEP_DEADLINE + 8 * callTimeout + 2 * watch
}

/** Milliseconds that a teardown takes at most: what has begun when its time is over comes to its end. */
export function longestTeardown(times: Times): number {
  return latest(times) + 2 * longestWatch(times)
}

/** Milliseconds for which a new pod is watched at most. */
function longestWatch({ callTimeout, watch }: Times): number {
  return 2 * STEP_DEADLINE + 2 * callTimeout + 2 * watch
}

type Failure = NonNullable<TeardownCall['failure']>

/** Takes a cell of another driver down as a kubelet does: the pods leave, the volume is unpublished and unstaged, and a new pod comes and leaves. */
export class CellTeardown {
  readonly #means: Means
  /** When nothing more begins, on the clock of the cell. */
  #latest: number | undefined

  constructor(means: Means) {
    this.#means = means
  }

  /** Never rejects because of what the driver does. Returns what was seen, the reads of the new pod as events, and the records that it found. */
  async run(): Promise<{ readonly teardown: Teardown; readonly events: readonly CellEvent[]; readonly found: FoundRecords }> {
    const { clock, operations, consumers, pods } = this.#means
    const began = clock()
    const calls = await this.leave()
    const paths = [stagingPath(operations.volume.pv), ...[...consumers, ...pods.terminating].map(({ target }) => target)]
    const left = await this.#left(paths, calls.every(({ succeeded }) => succeeded) ? LATE_END : 0)
    const isLast = calls.every(({ rpc, succeeded }) => rpc !== 'NodeUnpublishVolume' || succeeded)
    // A plugin that does not answer publishes nothing.
    const isSilent = calls.length > 0 && calls.every(({ failure }) => failure?.code === 'DEADLINE_EXCEEDED')
    const came = isSilent || this.#isOver ? undefined : await this.#newPod(isLast)
    return {
      teardown: { tookMs: clock() - began, calls, left, ...(came === undefined ? {} : { newPod: came.newPod }) },
      events: came?.events ?? [],
      found: came?.found ?? new Map(),
    }
  }

  /** The first half alone: every pod of the cell leaves, and the volume leaves the node. */
  async leave(): Promise<readonly TeardownCall[]> {
    const { clock, timeline, times, plugin, consumers, pods } = this.#means
    this.#latest = clock() + latest(times)
    // A DaemonSet starts a plugin again that has ended.
    if ((await plugin.pids()).length === 0) await this.#attempt('the plugin is started', () => plugin.start())
    timeline.note('kubelet', 'log', 'every pod leaves')
    const leaving = consumers.map((consumer) => this.#leaves(consumer))
    const deleted = pods.terminating.map(async ({ uid, target }) => [await this.#unpublish(uid, target)])
    const calls = (await Promise.all([...leaving, ...deleted])).flat()
    return calls.every(({ succeeded }) => succeeded) ? [...calls, ...(await this.#unstage())] : calls
  }

  get #isOver(): boolean {
    return this.#means.clock() >= (this.#latest ?? Infinity)
  }

  /** Whether the kubelet has something to unpublish for a pod. */
  #hasVolume({ published, target }: CellConsumer): boolean {
    return published || this.#isMounted(target) || existsSync(target)
  }

  #isMounted(path: string): boolean {
    return topmostAt(this.#means.before.now(), path) !== undefined
  }

  /** One pod leaves, as soon as its processes have ended: those of a node do so at their own pace. */
  async #leaves(consumer: CellConsumer): Promise<readonly TeardownCall[]> {
    const { kind, target, pod } = consumer
    // A call for it that is under way comes to its end first.
    await this.#attempt(`the process of ${kind.id} ends`, async () => {
      await within('it ends', consumer.halt(), STEP_DEADLINE + 4 * this.#means.times.callTimeout)
    })
    if (!this.#hasVolume(consumer)) return []
    const call = await this.#unpublish(pod.uid, target)
    if (call.succeeded) consumer.forget()
    return [call]
  }

  async #unpublish(uid: string, target: string): Promise<TeardownCall> {
    const { kubelet, operations } = this.#means
    return await this.#call('NodeUnpublishVolume', target, () => kubelet.unpublish(operations.volume, uid))
  }

  /** No call for a volume that is not staged. One whose unstaging fails is staged again for the next pod (operation_generator.go, MarkDeviceAsUncertain). */
  async #unstage(): Promise<readonly TeardownCall[]> {
    const { operations } = this.#means
    if (operations.volume.staged === false || !operations.isStaged) return []
    const call = await this.#call('NodeUnstageVolume', stagingPath(operations.volume.pv), () => operations.unstage())
    if (!call.succeeded) operations.forget()
    return [call]
  }

  /** Makes a call until it succeeds and its folder is gone, as often as the kubelet in the time that there is. */
  async #call(rpc: TeardownCall['rpc'], path: string, act: () => Promise<void>): Promise<TeardownCall> {
    const { clock, timeline, times } = this.#means
    const began = clock()
    const end = Math.min(began + Math.max(ATTEMPTS_WITHIN, times.callTimeout), this.#latest ?? Infinity)
    let last: Failure | undefined
    let failed = 0
    for (let attempts = 1; ; attempts++) {
      const failure = (await failureOf(act)) ?? this.#removeFolder(path)
      last = failure ?? last
      // The driver has not tried this call, because one for another pod is under way (CSI spec, "Operation pending for volume").
      if (failure?.code !== 'ABORTED') failed++
      const pause = FIRST_PAUSE * 2 ** Math.max(failed - 1, 0)
      if (failure !== undefined && failed < ATTEMPTS && clock() + pause < end) {
        await sleep(pause)
        continue
      }
      const succeeded = failure === undefined
      const words = failure === undefined ? 'OK' : `${failure.code}: ${failure.message} (${attempts} attempts)`
      timeline.note('kubelet', 'log', `${rpc} ${path}: ${words}`)
      return { rpc, path, succeeded, attempts, tookMs: clock() - began, ...(last === undefined ? {} : { failure: last }) }
    }
  }

  /** After a call that was answered OK, the kubelet removes the folder, unless something is mounted there (kubernetes pkg/volume/csi, removeMountDir). */
  #removeFolder(path: string): Failure | undefined {
    if (this.#isMounted(path)) return undefined
    try {
      rmdirSync(path)
      return undefined
    } catch (error) {
      const code = codeOf(error)
      if (code === undefined) throw error
      if (code === 'ENOENT') return undefined
      const names = code === 'ENOTEMPTY' ? ` (${readdirSync(path).slice(0, MOST_NAMES).join(', ')})` : ''
      return { code, message: `the call is answered OK, and the kubelet cannot remove the folder: ${errnoText(code)}${names}` }
    }
  }

  /** Looks again for `time` milliseconds as long as something is left. */
  async #left(paths: readonly string[], time: number): Promise<Leftovers> {
    const { before } = this.#means
    const end = performance.now() + time
    for (;;) {
      const [mounts, holders] = [mountsLeft(before), holdersLeft(before)]
      if ((mounts.length === 0 && holders.length === 0) || performance.now() > end)
        return { mounts, folders: await this.#means.disk.folders(paths), holders }
      await sleep(50)
    }
  }

  /** `isLast`: whether no other pod has the volume, so that it is unstaged after this one. */
  async #newPod(
    isLast: boolean,
  ): Promise<{ readonly newPod: NewPod; readonly events: readonly CellEvent[]; readonly found: FoundRecords }> {
    const { clock, times } = this.#means
    const pod = this.#means.newPod()
    const began = clock()
    pod.want()
    const saw = await until('it is known what the new pod sees', () => this.#sawOf(pod, began), 2 * longestWatch(times))
    const now = clock()
    const { wrote } = pod.reads
    const unpublished = await this.#leaves(pod)
    const isGone = isLast && unpublished.every(({ succeeded }) => succeeded)
    const calls = isGone ? [...unpublished, ...(await this.#unstage())] : unpublished
    const why = saw === 'not started' ? { why: pod.complaint } : {}
    return {
      newPod: { saw, ...why, watchedMs: now - began, wroteToNode: wrote !== undefined, calls },
      events: eventsOf(pod.kind.id, pod.reads.reads(now), now),
      found: pod.reads.found,
    }
  }

  /** What a new pod sees; undefined as long as that is not known, which is never longer than {@link longestWatch}. */
  #sawOf({ reads, startedAt }: CellConsumer, began: number): string | undefined {
    const { callTimeout, watch } = this.#means.times
    const now = this.#means.clock()
    const all = reads.ended(-Infinity)
    const [first] = all
    const isWell = all.length >= ENOUGH && all.slice(-ENOUGH).every(({ saw }) => saw === 'right')
    // What was acknowledged may be stored a moment later.
    const isOver = now - began > longestWatch(this.#means.times)
    if (isWell && (isOver || this.#hasAll(reads.found) || now - (first?.endedMs ?? now) > watch)) return 'right'
    if (startedAt === undefined) return isOver || now - began > STEP_DEADLINE + 2 * callTimeout ? 'not started' : undefined
    // On a busy machine a process is slow to begin, and a read to come back.
    if (now - (reads.underWay ?? (first === undefined ? startedAt : now)) > STEP_DEADLINE + watch) return 'HUNG'
    const isBad = reads.lastWrong !== undefined && now - Math.max(first?.endedMs ?? now, reads.lastRight ?? 0) > watch
    return isBad || isOver ? (all.findLast(({ saw }) => saw !== 'right')?.saw ?? 'HUNG') : undefined
  }

  /** Whether no record is missing that was acknowledged. */
  #hasAll(found: FoundRecords): boolean {
    const written = this.#means.consumers.flatMap(({ reads }) => reads.writes.files)
    return written.every((file) => missingOf(file, found)?.length === 0)
  }

  /** Does what may fail in the way that the lab or the driver is; notes it then. */
  async #attempt(what: string, act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      this.#means.timeline.note('kubelet', 'log', `${what}: ${messageOf(error)}`)
    }
  }
}

/** What is not a status, such as an answer that cannot be read, counts as UNKNOWN. */
async function failureOf(act: () => Promise<void>): Promise<Failure | undefined> {
  try {
    await act()
    return undefined
  } catch (error) {
    return error instanceof CallError
      ? { code: error.code, message: error.details }
      : { code: 'UNKNOWN', message: messageOf(error) }
  }
}
