import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../errors.ts'
import { clockFrom, monotonicMs } from '../clock.ts'
import { FAILURES } from '../failures/all.ts'
import type { Failure } from '../failures/failure.ts'
import { PLACES } from '../driver/container.ts'
import { DRIVER_MITIGATIONS } from '../driver/matrix.ts'
import { filled } from '../driver/spec.ts'
import { MITIGATIONS } from '../mitigations.ts'
import type { Mitigation } from '../mitigations.ts'
import { until } from '../wait.ts'
import type { CellHarness } from './cell-harness.ts'
import type { CellConsumer } from './cell-consumer.ts'
import { classify, ENOUGH } from './classify.ts'
import { CONSUMERS } from './consumers.ts'
import { filesOnDisk, fuseHolders, nodeMounts, podMounts } from './evidence.ts'
import { HealthWatch, type WatchedVolume } from './health-watch.ts'
import type { CellJob, Expectation } from './job.ts'
import { DepartedPod } from './departed-pod.ts'
import { verdictOf } from './outcomes.ts'
import { ProcessWatch } from './process-watch.ts'
import { countReads, eventsOf, stalled } from './read-log.ts'
import type { Cell, ConsumerResult } from './lab-record.ts'
import { setUpCell } from './set-up.ts'
import { Timeline } from './timeline.ts'

/** Our daemons, which the plugin starts or systemd does. */
const OURS = { 'dummy-fuse': 'FUSE daemon', 'dummy-fused': 'FUSE service' }

/** Milliseconds for which a failure stands before the world mends it, unless every consumer has met it earlier. */
const OUTAGE = 1000
/** Milliseconds after the mending for which those who do badly are watched. */
const WATCH = 2000
/** Milliseconds after the mending for which those are waited for that do worse than the model says. */
const READ_DEADLINE = 8000

/** Carries out one cell on the private node that this process is on. Throws what keeps it from saying anything. */
export async function carryOutCell(job: CellJob): Promise<Cell> {
  const startedAt = new Date().toISOString()
  const startMs = monotonicMs()
  const clock = clockFrom(startMs)
  const timeline = new Timeline(clock)
  const failure = named(FAILURES, job.failure)
  const mitigation = named(job.driver === undefined ? MITIGATIONS : DRIVER_MITIGATIONS, job.mitigation)
  const kinds = CONSUMERS.filter(({ id }) => Object.hasOwn(job.consumers, id))
  const bench = setUpCell(job, { failure, mitigation, kinds }, timeline, clock, startMs)
  const comms =
    job.driver === undefined ? OURS : { ...(job.driver.daemon === undefined ? {} : { [job.driver.daemon]: 'FUSE daemon' }) }
  using watch = new ProcessWatch(timeline, comms)
  if (job.driver?.prepare !== undefined)
    await bench.node.shell(filled([`mkdir -p {state}; ${job.driver.prepare}`], PLACES).join(''))

  const { failureAtMs, mendedAtMs, before, left } = await course(bench, failure, mitigation, job).catch((error: unknown) => {
    throw new Error(`${messageOf(error)}${lastWords(timeline)}`, { cause: error })
  })
  watch.look()
  const after = { mounts: nodeMounts(), holders: fuseHolders(), disk: await filesOnDisk() }
  const results = bench.consumers.map((consumer) =>
    resultOf(consumer, job.consumers[consumer.kind.id] ?? null, failureAtMs, clock()),
  )
  const reads = bench.consumers.flatMap(({ kind, reads }) => eventsOf(kind.id, reads.reads(clock()), clock()))
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

/** How it went: when, what there was before, and what is there that must not be. */
interface Course {
  readonly failureAtMs: number
  readonly mendedAtMs: number
  readonly before: { readonly mounts: readonly string[]; readonly holders: readonly string[] }
  readonly left: string | undefined
}

/** All is well, the failure strikes, the world mends what it can, and it is seen what comes of it. */
async function course(bench: CellHarness, failure: Failure, mitigation: Mitigation, job: CellJob): Promise<Course> {
  const { clock, timeline, plugin, kubelet, consumers } = bench
  const at = (starts: string): readonly CellConsumer[] => consumers.filter(({ kind }) => kind.starts === starts)
  await bench.daemons.start()
  await plugin.start(failure.flaw)
  await kubelet.register()
  let failureAtMs = clock()
  if (failure.flaw !== undefined) timeline.note('plugin', 'failure', `the plugin is flawed: ${failure.flaw.join(' ')}`)
  for (const consumer of at('before')) consumer.want()
  const leaver = new DepartedPod(bench.operations)
  if (failure.flaw === undefined) {
    await leaver.publishAndUnpublish()
    await allRead(at('before'))
  }
  await using _health = mitigation.watchesHealth === true ? new HealthWatch(kubelet, watched(bench), timeline) : undefined
  const before = { mounts: nodeMounts(), holders: fuseHolders() }

  if (failure.flaw === undefined) failureAtMs = clock()
  const meanwhile = failure.flaw !== undefined
  if (meanwhile) for (const consumer of at('during')) consumer.want()
  await failure.strike(bench)
  const struck = clock()
  if (!meanwhile) for (const consumer of at('during')) consumer.want()
  await outage(at('before'), clock, struck)
  if (failure.lastsMs !== undefined) await sleep(Math.max(0, failure.lastsMs - (clock() - failureAtMs)))

  await failure.mend(bench)
  const mendedAtMs = timeline.note('node', 'mended', 'what the world mends has been mended')
  for (const consumer of at('after')) consumer.want()
  await until('the consumers have settled', () => settled(consumers, job, failureAtMs, mendedAtMs, clock()), READ_DEADLINE + 1000)
  return { failureAtMs, mendedAtMs, before, left: leaver.left }
}

/** The volumes, each with the pods that use it. */
function watched({ operations, neighbour, consumers }: CellHarness): readonly WatchedVolume[] {
  const of = (volume: CellConsumer['kind']['volume']): readonly CellConsumer[] =>
    consumers.filter(({ kind }) => kind.volume === volume)
  return [
    { operations, consumers: of('struck') },
    { operations: neighbour, consumers: of('neighbour') },
  ].filter(({ consumers }) => consumers.length > 0)
}

/** What the processes said last, for a cell of which there will be no record. */
function lastWords(timeline: Timeline): string {
  const lines = timeline.logs().filter(({ text }) => !text.includes('GRPC'))
  return lines.length === 0
    ? ''
    : `; last words: ${lines
        .slice(-6)
        .map(({ lane, text }) => `${lane}: ${text}`)
        .join(' | ')}`
}

/** Nothing can be told of a consumer that did not do well before. */
async function allRead(consumers: readonly CellConsumer[]): Promise<void> {
  const well = ({ reads }: CellConsumer): boolean => reads.ended(-Infinity).filter(({ saw }) => saw === 'right').length >= ENOUGH
  const late = (): string =>
    consumers
      .filter((consumer) => !well(consumer))
      .map(({ kind }) => kind.id)
      .join(', ')
  await until('every consumer reads before the failure', () => late() === '').catch((error: unknown) => {
    throw new Error(`these did not read right before the failure: ${late()}`, { cause: error })
  })
}

/** Every consumer that runs has met what there is to be met. */
async function outage(consumers: readonly CellConsumer[], clock: () => number, since: number): Promise<void> {
  const met = ({ pid, reads }: CellConsumer): boolean =>
    pid === undefined || reads.ended(since).length >= 3 || (reads.underWay !== undefined && clock() - reads.underWay > 200)
  await until('every consumer has met the failure', () => consumers.every(met) || clock() - since > OUTAGE)
}

function settled(consumers: readonly CellConsumer[], job: CellJob, failureAt: number, mendedAt: number, now: number): boolean {
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
