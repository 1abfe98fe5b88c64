import type { Failure } from '../failures/failure.ts'
import { classify, ENOUGH } from '../matrix/classify.ts'
import type { Expectation } from '../matrix/job.ts'
import type { Cell, ConsumerResult, OutcomeId } from '../matrix/lab-record.ts'
import { verdictOf } from '../matrix/outcomes.ts'
import type { Mitigation } from '../mitigations.ts'
import { until } from '../wait.ts'
import { type Course, takeCourse } from './course.ts'
import type { Consumer, Harness, Patience } from './harness.ts'
import { countReads, eventsOf, stalled } from './read-log.ts'
import { decided, watchedFrom } from './watch.ts'

/** A cell as it is observed. */
interface Observed {
  readonly failure: Failure
  readonly mitigation: Mitigation
  /** What the model says, by the ids of the consumers; null without a model. */
  readonly expectations: Readonly<Record<string, Expectation | null>>
  /** ISO 8601, UTC. */
  readonly startedAt: string
}

/**
 * Takes a cell through its course until its consumers have settled, and compares what they saw with the model. Rejects with an Error if the cell says
 * nothing.
 */
export async function observeCell(harness: Harness, observed: Observed): Promise<Cell> {
  const { clock, timeline, evidence } = harness
  const { failure, mitigation, expectations, startedAt } = observed
  const { failureAtMs, mendedAtMs, before, left } = await run(harness, observed)
  const after = { mounts: await evidence.mounts(), holders: await evidence.holders(), disk: await evidence.disk() }
  const results: ConsumerResult[] = []
  for (const consumer of harness.consumers)
    results.push(await resultOf(consumer, expectations[consumer.kind.id] ?? null, { failureAtMs, mendedAtMs }, harness))
  const reads = harness.consumers.flatMap(({ kind, reads }) => eventsOf(kind.id, reads.reads(clock()), clock()))
  const measured = Object.values(expectations).includes(null)
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
async function run(harness: Harness, { failure, mitigation, expectations }: Observed): Promise<Run> {
  const { consumers, evidence, patience } = harness
  const departed = harness.passingPod()
  let before: Run['before'] = { mounts: [], holders: [] }
  await using watches = new AsyncDisposableStack()
  const course = await takeCourse(harness, failure, {
    mounted: async () => {
      await departed.arrive()
      await departed.depart()
    },
    before: async () => {
      if (mitigation.watchesHealth === true) watches.use(harness.watchHealth())
      before = { mounts: await evidence.mounts(), holders: await evidence.holders() }
    },
  })
  const settled = (): boolean => consumers.every((consumer) => hasSettled(consumer, expectations, course, harness))
  await until('the consumers have settled', settled, 2 * limitOf(null, patience) + 1000)
  // A failure that strikes the mounting has no such pod.
  return { ...course, before, left: failure.flaw === undefined ? await departed.left() : undefined }
}

/** Whether it is known what comes of a consumer, or the lab waits no longer. */
function hasSettled(
  consumer: Consumer,
  expectations: Observed['expectations'],
  course: Course,
  { clock, patience }: Harness,
): boolean {
  const now = clock()
  const last = consumer.reads.ended(Math.max(course.mendedAtMs, consumer.runningSince ?? Infinity)).slice(-ENOUGH)
  if (last.length === ENOUGH && last.every(({ saw }) => saw === 'right')) return true
  const model = expectations[consumer.kind.id] ?? null
  const seen = outcomeOf(consumer, course, now, patience)
  const asModelled = model === null ? seen !== 'undecided' : model.outcome === seen || model.or?.includes(seen) === true
  const limit = limitOf(model, patience)
  const watched = now - watchedFrom(consumer, course.mendedAtMs)
  return watched > (asModelled ? patience.watch : limit) || now - course.mendedAtMs > 2 * limitOf(null, patience)
}

/** Milliseconds for which a consumer is watched at most that does not come out as the model says, or of which it is undecided what comes of it. */
function limitOf(model: Expectation | null, { watch, settle }: Patience): number {
  return model === null ? Math.max(2 * watch, settle) : settle
}

function outcomeOf(consumer: Consumer, { failureAtMs, mendedAtMs }: Course, now: number, { longRead, watch }: Patience): OutcomeId {
  const { reads, pid, started, failedToStart, restarts } = consumer
  const all = reads.reads(now)
  const since = all.filter(({ beganMs, endedMs }) => beganMs >= failureAtMs || (endedMs ?? Infinity) >= failureAtMs)
  // An attempt that failed before a consumer read, and before the failure, is none of the failure's.
  const late = failedToStart && since.length === all.length
  const seen = classify({ reads: since, running: pid !== undefined, started, failedToStart: late, restarts, longRead })
  return decided(seen, consumer, mendedAtMs, now, watch)
}

async function resultOf(
  consumer: Consumer,
  model: Expectation | null,
  course: Course,
  { clock, patience }: Harness,
): Promise<ConsumerResult> {
  const now = clock()
  const failureAt = course.failureAtMs
  const { kind, reads, restarts } = consumer
  const all = reads.reads(now)
  const seen = outcomeOf(consumer, course, now, patience)
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
    watchedMs: round(Math.max(0, now - watchedFrom(consumer, course.mendedAtMs))),
    mountTable: await consumer.mountTable(),
  }
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10
}
