import type { OutcomeId } from '../matrix/lab-record.ts'
import { TO_THE_END } from '../matrix/outcomes.ts'
import type { Consumer } from './harness.ts'

/** What is to be known of a consumer to say since when, and whether for long enough, it has been watched. */
export type Watched = Pick<Consumer, 'reads' | 'startedAt' | 'wantedAt' | 'failedSince'>

/**
 * When the watch of a consumer begins: with the repair, or with its own start if that was later. One that was never started is watched from when it was
 * asked for.
 */
export function watchedFrom({ startedAt, wantedAt }: Watched, mendedAtMs: number): number {
  return Math.max(mendedAtMs, startedAt ?? wantedAt ?? mendedAtMs)
}

/**
 * When the last of these consumers was started for the first time, `sinceMs` at least. The volume is published for one pod after the other, so that each may have
 * waited for the calls of all before it.
 */
export function lastStart(consumers: readonly Pick<Consumer, 'startedAt'>[], sinceMs: number): number {
  return Math.max(sinceMs, ...consumers.map(({ startedAt }) => startedAt ?? sinceMs))
}

/**
 * What is said of a consumer that is seen so (`classify`): the same, or `undecided` if it did not do badly for `watch` milliseconds on end. A right read
 * begins that time anew, and a read that hangs counts from its own beginning. A failure must have been seen in its watch: a read that came back and was
 * not right, or an attempt to start it that began in the watch and failed.
 */
export function decided(seen: OutcomeId, consumer: Watched, mendedAtMs: number, nowMs: number, watch: number): OutcomeId {
  if (!TO_THE_END.includes(seen)) return seen
  const { reads } = consumer
  const from = watchedFrom(consumer, mendedAtMs)
  if (seen === 'hangs') return nowMs - Math.max(from, reads.underWay ?? nowMs) >= watch ? seen : 'undecided'
  const failed = (reads.lastWrong ?? -Infinity) >= from || consumer.failedSince(from)
  return failed && nowMs - Math.max(from, reads.lastRight ?? -Infinity) >= watch ? seen : 'undecided'
}
