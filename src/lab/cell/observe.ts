import type { Failure } from '../failures/failure.ts'
import { classify, ENOUGH } from '../matrix/classify.ts'
import type { Expectation } from '../matrix/job.ts'
import type { Cell, ConsumerResult, OutcomeId } from '../matrix/lab-record.ts'
import { verdictOf } from '../matrix/outcomes.ts'
import type { Mitigation } from '../mitigations.ts'
import { until } from '../wait.ts'
import { type Course, takeCourse } from './course.ts'
import { deletedFolderIn } from './evidence.ts'
import type { Consumer, Harness, Patience } from './harness.ts'
import { countReads, eventsOf, rightAgain } from './read-log.ts'
import { decided, lastStart, watchedFrom } from './watch.ts'

/** A cell as it is observed. */
interface Observed {
  readonly failure: Failure
  readonly mitigation: Mitigation
  /** What the model says, by the ids of the consumers; null without a model. */
  readonly expectations: Readonly<Record<string, Expectation | null>>
  /** ISO 8601, UTC. */
  readonly startedAt: string
}

/** What is known of a cell when its consumers have settled. */
interface Run {
  readonly course: Course
  /** What the node looked like just before the failure. */
  readonly before: NodeSeen
  /** What is left that must not be there, in words. */
  readonly left: string | undefined
  /** Those of which nothing is said. */
  readonly unready: readonly Consumer[]
}

interface NodeSeen {
  readonly mounts: readonly string[]
  readonly holders: readonly string[]
  readonly disk: readonly string[]
}

const NOTHING: NodeSeen = { mounts: [], holders: [], disk: [] }

/**
 * Takes a cell through its course until its consumers have settled, and compares what they saw with the model. Without a model, a consumer that does not
 * read right before the failure is left out. Rejects with an Error if the cell says nothing.
 */
export async function observeCell(harness: Harness, observed: Observed): Promise<Cell> {
  return await seenIn(harness, observed, await run(harness, observed))
}

/**
 * Has the volume published for every consumer at once, and looks at how each reads, without any failure. `watch`: milliseconds for which a consumer is watched
 * that sees the node's own disk or gets errors.
 */
export async function observeFirstUse(harness: Harness, observed: Observed, watch: number): Promise<Cell> {
  const { clock, timeline, daemons, plugin, consumers, evidence } = harness
  await daemons.start()
  await plugin.start()
  await harness.register()
  const before = { mounts: await evidence.mounts(), holders: await evidence.holders(), disk: [] }
  const askedAt = timeline.note('kubelet', 'log', `the kubelet is asked for ${consumers.length} consumers`)
  for (const consumer of consumers) consumer.want()
  const course = { failureAtMs: askedAt, mendedAtMs: askedAt }
  const patience = { ...harness.patience, watch, settle: Math.max(watch, harness.patience.start) }
  const settled = (consumer: Consumer): boolean => {
    // A call or a first read may be slow: that is no fault.
    const isSlow = !consumer.started || consumer.reads.ended(-Infinity).length === 0
    if (isSlow && clock() - lastStart(consumers, askedAt) <= patience.settle) return false
    return hasSettled(consumer, observed.expectations, course, { clock, patience, consumers })
  }
  await until('the consumers have settled', () => consumers.every(settled), longestSettling(consumers, patience))
  return await seenIn({ ...harness, patience }, observed, { course, before, left: undefined, unready: [] })
}

async function seenIn(harness: Harness, observed: Observed, { course, before, left, unready }: Run): Promise<Cell> {
  const { clock, timeline, evidence } = harness
  const { failure, mitigation, expectations, startedAt } = observed
  const after = { mounts: await evidence.mounts(), holders: await evidence.holders(), disk: await evidence.disk() }
  const results: ConsumerResult[] = []
  for (const consumer of harness.consumers.filter((one) => !unready.includes(one)))
    results.push(await resultOf(consumer, expectations[consumer.kind.id] ?? null, course, harness))
  const reads = harness.consumers.flatMap(({ kind, reads }) => eventsOf(kind.id, reads.reads(clock()), clock()))
  return {
    failure: failure.id,
    mitigation: mitigation.id,
    ...(isMeasured(observed) ? { verdict: 'measured' } : verdictOf(results, left)),
    startedAt,
    tookMs: clock(),
    ...course,
    consumers: results,
    ...(unready.length === 0 ? {} : { unready: unready.map(({ kind }) => kind.id) }),
    events: timeline.events(reads),
    lanes: timeline.lanes(),
    evidence: {
      logs: timeline.logs(momentsOf({ ...course, consumers: results })),
      mountsBefore: before.mounts,
      mountsAfter: after.mounts,
      holdersBefore: before.holders,
      holdersAfter: after.holders,
      disk: after.disk.filter((path) => !before.disk.includes(path)),
    },
  }
}

/** The failure, the repair, and when reads were right again for the first and the last time: the log around them is worth keeping. */
export function momentsOf({
  failureAtMs,
  mendedAtMs,
  consumers,
}: Pick<Cell, 'failureAtMs' | 'mendedAtMs' | 'consumers'>): readonly number[] {
  const again = consumers.flatMap(({ firstRightAfterFailureMs: after }) => (after === null ? [] : [failureAtMs + after]))
  const recovered = again.length === 0 ? [] : [Math.min(...again), Math.max(...again)]
  return [failureAtMs, mendedAtMs ?? failureAtMs, ...recovered]
}

function isMeasured({ expectations }: Observed): boolean {
  return Object.values(expectations).includes(null)
}

/** Takes the cell through its course until its consumers have settled, with the checks that every cell of the matrix has. */
async function run(harness: Harness, observed: Observed): Promise<Run> {
  const { failure, mitigation, expectations } = observed
  const { consumers, evidence, patience } = harness
  const departed = harness.passingPod()
  let before = NOTHING
  let unready: readonly Consumer[] = []
  await using watches = new AsyncDisposableStack()
  const leaveOut = (those: readonly Consumer[]): void => {
    unready = those
  }
  const course = await takeCourse(harness, failure, {
    mounted: async () => {
      await departed.arrive()
      await departed.depart()
    },
    ...(isMeasured(observed) ? { unready: leaveOut } : {}),
    before: async () => {
      if (mitigation.watchesHealth === true) watches.use(harness.watchHealth())
      // Only a driver of which nothing is known may have had something written past its volume by then.
      const disk = isMeasured(observed) ? await evidence.disk() : []
      before = { mounts: await evidence.mounts(), holders: await evidence.holders(), disk }
    },
  })
  const settled = (): boolean =>
    consumers.every((consumer) => unready.includes(consumer) || hasSettled(consumer, expectations, course, harness))
  await until('the consumers have settled', settled, longestSettling(consumers, patience))
  // A failure that strikes the mounting has no such pod.
  return { course, before, left: failure.flaw === undefined ? await departed.left() : undefined, unready }
}

/** Whether it is known what comes of a consumer, or the lab waits no longer. */
function hasSettled(
  consumer: Consumer,
  expectations: Observed['expectations'],
  course: Course,
  { clock, patience, consumers }: Pick<Harness, 'clock' | 'patience' | 'consumers'>,
): boolean {
  const now = clock()
  const last = consumer.reads.ended(Math.max(course.mendedAtMs, consumer.runningSince ?? Infinity)).slice(-ENOUGH)
  if (last.length === ENOUGH && last.every(({ saw }) => saw === 'right')) return true
  const model = expectations[consumer.kind.id] ?? null
  const seen = outcomeOf(consumer, course, now, patience)
  const asModelled = model === null ? seen !== 'undecided' : model.outcome === seen || model.or?.includes(seen) === true
  const limit = limitOf(model, patience)
  const watched = now - watchedFrom(consumer, course.mendedAtMs)
  return watched > (asModelled ? patience.watch : limit) || now - lastStart(consumers, course.mendedAtMs) > longestWatch(patience)
}

/** Milliseconds after which a consumer is watched no longer, whatever comes of it, since the last start of any. */
function longestWatch(patience: Patience): number {
  return 2 * limitOf(null, patience)
}

/** Milliseconds in which the consumers have settled, each of which is started before the longest watch after the start of another is over. */
function longestSettling(consumers: readonly Consumer[], patience: Patience): number {
  return (consumers.length + 1) * longestWatch(patience) + 1000
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
  // Processes may be stopped to find what the failure is to strike.
  const sinceThen = all.filter((read) => (read.endedMs ?? Infinity) >= failureAt)
  const took = sinceThen.map(({ beganMs, endedMs }) => ({ beganMs, took: (endedMs ?? now) - beganMs }))
  const longest = took.reduce<{ beganMs: number; took: number } | undefined>(
    (a, b) => (a === undefined || b.took > a.took ? b : a),
    undefined,
  )
  const firstRight = rightAgain(all, failureAt, now)
  const holds = kind.way !== 'opens-anew' && kind.starts === 'before'
  const { wrote } = reads
  const mountTable = await consumer.mountTable()
  const deleted = deletedFolderIn(mountTable)
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
    wroteToNode: wrote !== undefined && wrote.atMs >= failureAt,
    watchedMs: round(Math.max(0, now - watchedFrom(consumer, course.mendedAtMs))),
    mountTable,
    ...(deleted === undefined ? {} : { deletedFolder: deleted }),
  }
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10
}
