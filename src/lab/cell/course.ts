import { setTimeout as sleep } from 'node:timers/promises'
import type { Failure } from '../failures/failure.ts'
import { ENOUGH } from '../matrix/classify.ts'
import { until } from '../wait.ts'
import type { CellConsumer } from './cell-consumer.ts'
import type { Harness } from './harness.ts'

/** Milliseconds from the failure to the repair, unless every consumer has met the failure earlier. */
const OUTAGE = 1000

/** When the failure struck and when the repair was done, on the cell's clock. */
export interface Course {
  readonly failureAtMs: number
  readonly mendedAtMs: number
}

/** What else is done at each stage of a cell's course. */
export interface Stages {
  /** The plugin runs, and the consumers are being started. Left out for a failure that strikes while the volume is mounted. */
  readonly mounted?: () => Promise<void>
  /** Every consumer reads right; the failure is next. */
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
  const { clock, timeline, daemons, plugin, kubelet, consumers } = harness
  const those = (starts: string): readonly CellConsumer[] => consumers.filter(({ kind }) => kind.starts === starts)
  const strikesMounting = failure.flaw !== undefined
  await daemons.start()
  await plugin.start(failure.flaw)
  await kubelet.register()
  let failureAtMs = clock()
  if (strikesMounting) timeline.note('plugin', 'failure', `the plugin is flawed: ${failure.flaw.join(' ')}`)
  for (const consumer of those('before')) consumer.want()
  if (!strikesMounting) {
    await stages.mounted?.()
    await allRead(those('before'))
  }
  await stages.before?.()

  if (!strikesMounting) failureAtMs = clock()
  else for (const consumer of those('during')) consumer.want()
  await failure.strike(harness)
  const struckAtMs = clock()
  if (!strikesMounting) for (const consumer of those('during')) consumer.want()
  await stages.struck?.()
  await outage(those('before'), clock, struckAtMs)
  if (failure.lastsMs !== undefined) await sleep(Math.max(0, failure.lastsMs - (clock() - failureAtMs)))

  await failure.mend(harness)
  const mendedAtMs = timeline.note('node', 'mended', 'what a real node repairs by itself has been repaired')
  for (const consumer of those('after')) consumer.want()
  const course = { failureAtMs, mendedAtMs }
  await stages.mended?.(course)
  return course
}

/** Waits until each of them reads right. Throws an Error that names those that do not. */
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

/** Waits until each of them that runs has met the failure, at most OUTAGE. */
async function outage(consumers: readonly CellConsumer[], clock: () => number, since: number): Promise<void> {
  const met = ({ pid, reads }: CellConsumer): boolean =>
    pid === undefined || reads.ended(since).length >= 3 || (reads.underWay !== undefined && clock() - reads.underWay > 200)
  await until('every consumer has met the failure', () => consumers.every(met) || clock() - since > OUTAGE)
}
