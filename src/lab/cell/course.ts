import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import type { Failure } from '../failures/failure.ts'
import { ENOUGH } from '../matrix/classify.ts'
import { until } from '../wait.ts'
import type { Consumer, Harness, Patience } from './harness.ts'
import { lastStart } from './watch.ts'

/** When the failure struck and when the repair was done, on the cell's clock. */
export interface Course {
  readonly failureAtMs: number
  readonly mendedAtMs: number
}

/** What else is done at each stage of a cell's course. */
export interface Stages {
  /** The plugin runs, and the consumers are being started. Left out for a failure that strikes while the volume is mounted. */
  readonly mounted?: () => Promise<void>
  /** Told of the consumers that do not read right while others do, before the failure. Left out, they end the cell. */
  readonly unready?: (those: readonly Consumer[]) => void
  /** Every other consumer reads right; the failure is next. */
  readonly before?: () => Promise<void> | void
  /** The failure has struck, and nothing is repaired. */
  readonly struck?: () => Promise<void>
  /** What a real node repairs by itself has been repaired. */
  readonly mended?: (course: Course) => Promise<void>
}

/**
 * Starts everything, causes the failure, and repairs what a real node repairs by itself. Throws an Error if a step fails: nothing is known
 * of the cell then.
 */
export async function takeCourse(harness: Harness, failure: Failure, stages: Stages): Promise<Course> {
  const { clock, timeline, daemons, plugin, consumers, patience } = harness
  const those = (starts: string): readonly Consumer[] => consumers.filter(({ kind }) => kind.starts === starts)
  const flaw = failure.flaw?.(patience.mountDelay)
  const strikesMounting = flaw !== undefined
  await daemons.start()
  await plugin.start(flaw)
  await harness.register()
  let failureAtMs = clock()
  if (strikesMounting) timeline.note('plugin', 'failure', `the plugin is flawed: ${flaw.join(' ')}`)
  for (const consumer of those('before')) consumer.want()
  if (!strikesMounting) {
    await stages.mounted?.()
    await allRead(those('before'), { clock, deadline: patience.start }, stages.unready)
  }
  await aim(harness, failure, those('before'))
  await stages.before?.()

  if (strikesMounting) {
    for (const consumer of those('during')) consumer.want()
  } else {
    failureAtMs = clock()
    harness.shortenCalls()
  }
  await failure.strike(harness)
  const struckAtMs = clock()
  if (!strikesMounting) for (const consumer of those('during')) consumer.want()
  await stages.struck?.()
  await outage(those('before'), clock, struckAtMs, patience.outage)
  const lasts = durationOf(failure, patience)
  if (lasts > 0) await sleep(Math.max(0, lasts - (clock() - failureAtMs)))

  await failure.mend(harness)
  const mendedAtMs = timeline.note('node', 'mended', 'what a real node repairs by itself has been repaired')
  for (const consumer of those('after')) consumer.want()
  const course = { failureAtMs, mendedAtMs }
  await stages.mended?.(course)
  return course
}

/** Has the failure find what it strikes. Processes may be stopped for that, so everybody who read right has to do so again. */
async function aim(harness: Harness, failure: Failure, consumers: readonly Consumer[]): Promise<void> {
  const { clock, patience } = harness
  const well = consumers.filter(({ reads }) => (reads.lastRight ?? -Infinity) > (reads.lastWrong ?? -Infinity))
  const finding = failure.aim?.(harness)
  if (finding === undefined) return
  await finding
  const found = clock()
  const again = (): boolean => well.every(({ reads }) => (reads.lastRight ?? -Infinity) >= found)
  await until('every consumer reads right after the lab has stopped processes to find the one that answers', again, patience.start)
}

/** How long a failure lasts at least, in milliseconds. */
function durationOf({ lastsMs = 0, hangs, untilPodComes }: Failure, { hang, arrival }: Patience): number {
  return Math.max(lastsMs, hangs === true ? hang : 0) + (untilPodComes === true ? arrival : 0)
}

/**
 * Waits until each of them reads right, and gives up `deadline` milliseconds after the last start of one. Tells `unready` of those that do not read right, or throws
 * an Error that names them.
 */
export async function allRead<C extends Pick<Consumer, 'kind' | 'reads' | 'startedAt'>>(
  consumers: readonly C[],
  { clock, deadline }: { readonly clock: Clock; readonly deadline: number },
  unready?: (those: readonly C[]) => void,
): Promise<void> {
  const began = clock()
  const well = ({ reads }: C): boolean => reads.ended(-Infinity).filter(({ saw }) => saw === 'right').length >= ENOUGH
  const late = (): readonly C[] => consumers.filter((consumer) => !well(consumer))
  const isOver = (): boolean => clock() - lastStart(consumers, began) > deadline
  await until('every consumer reads before the failure', () => late().length === 0 || isOver(), (consumers.length + 2) * deadline)
  const those = late()
  if (those.length === 0) return
  if (unready !== undefined && those.length < consumers.length) unready(those)
  else
    throw new Error(
      `these did not read right before the failure: ${those.map((one) => `${one.kind.id} (${seenOf(one, clock())})`).join(', ')}`,
    )
}

/** What is known of a consumer that has not read right often enough. */
function seenOf({ reads, startedAt }: Pick<Consumer, 'reads' | 'startedAt'>, nowMs: number): string {
  if (startedAt === undefined) return 'it has not started'
  const { underWay } = reads
  const seconds = (sinceMs: number): string => `${((nowMs - sinceMs) / 1000).toFixed(1)} s`
  const ended = reads.ended(-Infinity)
  const last = ended.at(-1)
  return [
    `started ${seconds(startedAt)} ago`,
    `${ended.length} reads have ended`,
    ...(last === undefined ? [] : [`the last one: ${last.saw}`]),
    ...(underWay === undefined ? [] : [`one is under way for ${seconds(underWay)}`]),
  ].join(', ')
}

/** Waits until each of them that runs has met the failure, at most `most` milliseconds. */
async function outage(consumers: readonly Consumer[], clock: () => number, since: number, most: number): Promise<void> {
  const met = ({ pid, reads }: Consumer): boolean =>
    pid === undefined || reads.ended(since).length >= 3 || (reads.underWay !== undefined && clock() - reads.underWay > 200)
  await until('every consumer has met the failure', () => consumers.every(met) || clock() - since > most)
}
