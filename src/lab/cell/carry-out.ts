import { messageOf } from '../../errors.ts'
import { clockFrom, monotonicMs } from '../clock.ts'
import { withArgs } from '../command.ts'
import { FAILURES } from '../failures/all.ts'
import type { Failure } from '../failures/failure.ts'
import { PLACES } from '../driver/container.ts'
import { DRIVER_MITIGATIONS } from '../driver/matrix.ts'
import { filled } from '../driver/spec.ts'
import { Kubelet, VOLUME } from '../kubelet.ts'
import { MITIGATIONS } from '../mitigations.ts'
import type { Mitigation } from '../mitigations.ts'
import { FUSED, SOCKET } from '../node-paths.ts'
import { until } from '../wait.ts'
import { type Course, takeCourse } from './course.ts'
import type { Harness } from './harness.ts'
import type { CellConsumer } from './cell-consumer.ts'
import { classify, ENOUGH } from '../matrix/classify.ts'
import { CONSUMERS } from '../matrix/consumers.ts'
import { filesOnDisk, fuseHolders, nodeMounts, podMounts } from './evidence.ts'
import { HealthWatch, type WatchedVolume } from './health-watch.ts'
import type { CellJob, Expectation } from '../matrix/job.ts'
import { DepartedPod } from './departed-pod.ts'
import { verdictOf } from '../matrix/outcomes.ts'
import { ProcessWatch } from './process-watch.ts'
import { countReads, eventsOf, stalled } from './read-log.ts'
import type { Cell, ConsumerResult } from '../matrix/lab-record.ts'
import { labConsumer } from './reader-programs.ts'
import { setUpCell } from './set-up.ts'
import { Timeline } from './timeline.ts'

/** By comm, the titles of the lanes of our daemons. */
const OURS = { 'dummy-fuse': 'FUSE daemon', [FUSED]: 'FUSE service' }

/** Milliseconds for one of the kubelet's calls. The kubelet calls a plugin that does not answer again. */
const CALL_DEADLINE = 3000
/** Milliseconds after the repair for which a consumer that reads wrong is watched, if the model says that it does. */
const WATCH = 2000
/** Milliseconds after the repair that a consumer has to come out as the model says. */
const READ_DEADLINE = 8000

/** Carries out one cell on the private node that this process is on. Throws an Error if the cell says nothing. */
export async function carryOutCell(job: CellJob): Promise<Cell> {
  const startedAt = new Date().toISOString()
  const startMs = monotonicMs()
  const clock = clockFrom(startMs)
  const timeline = new Timeline(clock)
  const failure = named(FAILURES, job.failure)
  const mitigation = named(job.driver === undefined ? MITIGATIONS : DRIVER_MITIGATIONS, job.mitigation)
  const kinds = CONSUMERS.filter(({ id }) => Object.hasOwn(job.consumers, id))
  const { consumer: program } = job.programs
  const consumer = job.driver === undefined ? program : withArgs(program, ['--expect', job.driver.content])
  const harness = setUpCell(
    { failure, mitigation, consumers: kinds, volume: job.driver?.volume ?? { ...VOLUME, mountFlags: failure.mountFlags ?? [] } },
    {
      ...{ programs: job.programs, driver: job.driver, slice: job.slice, clock, timeline },
      kubelet: new Kubelet(SOCKET, CALL_DEADLINE),
      reader: labConsumer(consumer, startMs),
    },
  )
  const comms =
    job.driver === undefined ? OURS : { ...(job.driver.daemon === undefined ? {} : { [job.driver.daemon]: 'FUSE daemon' }) }
  using watch = new ProcessWatch(timeline, comms)
  if (job.driver?.prepare !== undefined)
    await harness.node.shell(filled([`mkdir -p {state}; ${job.driver.prepare}`], PLACES).join(''))

  const { failureAtMs, mendedAtMs, before, left } = await run(harness, failure, mitigation, job).catch((error: unknown) => {
    throw new Error(`${messageOf(error)}${lastWords(timeline)}`, { cause: error })
  })
  watch.look()
  const after = { mounts: nodeMounts(), holders: fuseHolders(), disk: await filesOnDisk() }
  const results = harness.consumers.map((consumer) =>
    resultOf(consumer, job.consumers[consumer.kind.id] ?? null, failureAtMs, clock()),
  )
  const reads = harness.consumers.flatMap(({ kind, reads }) => eventsOf(kind.id, reads.reads(clock()), clock()))
  const measured = Object.values(job.consumers).includes(null)
  return {
    failure: failure.id,
    mitigation: mitigation.id,
    ...(measured ? { verdict: 'measured' } : verdictOf(results, left)),
    startedAt,
    tookMs: clock(),
    failureAtMs,
    mendedAtMs,
    consumers: results,
    events: timeline.events(reads),
    lanes: timeline.lanes(),
    evidence: {
      logs: timeline.logs(),
      mountsBefore: before.mounts,
      mountsAfter: after.mounts,
      holdersBefore: before.holders,
      holdersAfter: after.holders,
      disk: after.disk,
    },
  }
}

/** The course of a cell, what the node looked like just before the failure, and what is left that must not be there. */
interface Run extends Course {
  readonly before: { readonly mounts: readonly string[]; readonly holders: readonly string[] }
  readonly left: string | undefined
}

/** Takes the cell through its course until its consumers have settled, with the checks that every cell of the matrix has. */
async function run(harness: Harness, failure: Failure, mitigation: Mitigation, job: CellJob): Promise<Run> {
  const { clock, timeline, kubelet, consumers } = harness
  const leaver = new DepartedPod(harness.operations)
  let before: Run['before'] = { mounts: [], holders: [] }
  await using watches = new AsyncDisposableStack()
  const course = await takeCourse(harness, failure, {
    mounted: () => leaver.publishAndUnpublish(),
    before: () => {
      if (mitigation.watchesHealth === true) watches.use(new HealthWatch(kubelet, watched(harness), timeline))
      before = { mounts: nodeMounts(), holders: fuseHolders() }
    },
  })
  const { failureAtMs, mendedAtMs } = course
  const settled = (): boolean => haveSettled(consumers, job, failureAtMs, mendedAtMs, clock())
  await until('the consumers have settled', settled, READ_DEADLINE + 1000)
  return { ...course, before, left: leaver.left }
}

/** The volumes, each with the pods that use it. */
function watched({ operations, neighbour, consumers }: Harness): readonly WatchedVolume[] {
  const of = (volume: CellConsumer['kind']['volume']): readonly CellConsumer[] =>
    consumers.filter(({ kind }) => kind.volume === volume)
  return [
    { operations, consumers: of('struck') },
    { operations: neighbour, consumers: of('neighbour') },
  ].filter(({ consumers }) => consumers.length > 0)
}

/** The last lines of the logs, for the error of a cell that has no record. */
function lastWords(timeline: Timeline): string {
  const lines = timeline.logs().filter(({ text }) => !text.includes('GRPC'))
  return lines.length === 0
    ? ''
    : `; last words: ${lines
        .slice(-6)
        .map(({ lane, text }) => `${lane}: ${text}`)
        .join(' | ')}`
}

function haveSettled(consumers: readonly CellConsumer[], job: CellJob, failureAt: number, mendedAt: number, now: number): boolean {
  return consumers.every((consumer) => {
    const seen = outcomeOf(consumer, failureAt, now)
    const last = consumer.reads.ended(Math.max(mendedAt, consumer.runningSince ?? Infinity)).slice(-ENOUGH)
    if (last.length === ENOUGH && last.every(({ saw }) => saw === 'right')) return true
    const model = job.consumers[consumer.kind.id] ?? null
    const asModelled = model === null || model.outcome === seen || model.or?.includes(seen) === true
    return now - mendedAt > (asModelled ? WATCH : READ_DEADLINE)
  })
}

function outcomeOf(
  { reads, pid, started, failedToStart, restarts }: CellConsumer,
  failureAt: number,
  now: number,
): ConsumerResult['seen'] {
  const since = reads.reads(now).filter(({ beganMs, endedMs }) => beganMs >= failureAt || (endedMs ?? Infinity) >= failureAt)
  return classify({ reads: since, running: pid !== undefined, started, failedToStart, restarts })
}

function resultOf(consumer: CellConsumer, model: Expectation | null, failureAt: number, now: number): ConsumerResult {
  const { kind, reads, restarts } = consumer
  const all = reads.reads(now)
  const seen = outcomeOf(consumer, failureAt, now)
  const took = all.map(({ beganMs, endedMs }) => ({ beganMs, took: (endedMs ?? now) - beganMs }))
  const longest = took.reduce<{ beganMs: number; took: number } | undefined>(
    (a, b) => (a === undefined || b.took > a.took ? b : a),
    undefined,
  )
  const hurt = all.find((read) => (read.endedMs ?? Infinity) >= failureAt && (read.saw !== 'right' || stalled(read, now)))
  const firstRight = all.find(({ beganMs, saw }) => beganMs >= (hurt?.beganMs ?? failureAt) && saw === 'right')
  const holds = kind.way !== 'opens-anew' && kind.starts === 'before'
  const { wrote } = reads
  return {
    consumer: kind.id,
    expected: model?.outcome ?? seen,
    ...(model?.or === undefined ? {} : { alsoExpected: model.or }),
    seen,
    reason: model?.reason ?? '',
    source: model?.source ?? '',
    reads: countReads(all),
    failedBefore: all.filter(({ endedMs, saw }) => (endedMs ?? Infinity) < failureAt && saw !== 'right').length,
    longestStallMs: round(longest?.took ?? 0),
    longestStallAtMs: longest === undefined ? null : round(longest.beganMs),
    firstRightAfterFailureMs: firstRight?.endedMs === undefined ? null : round(firstRight.endedMs - failureAt),
    descriptorLived: holds ? restarts === 0 && all.slice(-ENOUGH).every(({ saw }) => saw === 'right') : null,
    restarts,
    wroteToNode: wrote !== undefined,
    mountTable: mountTable(consumer),
  }
}

function mountTable({ kind, pid, target }: CellConsumer): readonly string[] {
  if (pid === undefined) return []
  return kind.place === 'node' ? nodeMounts().filter((line) => line.includes(` ${target} `)) : podMounts(pid)
}

function named<T extends { readonly id: string }>(all: readonly T[], id: string): T {
  const found = all.find((one) => one.id === id)
  if (found === undefined) throw new Error(`no '${id}'; there are ${all.map((one) => one.id).join(', ')}`)
  return found
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10
}
