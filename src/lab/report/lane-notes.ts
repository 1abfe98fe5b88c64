import type { CellEvent, Lane } from '../matrix/lab-record.ts'
import { count, cut, duration, moment, thousands } from './text.ts'

/** A read that takes as long as this is worth a word, in milliseconds. */
const LONG = 500

/** A lane in a few words. */
export function noteOf(lane: Lane, events: readonly CellEvent[]): string {
  const number = (kind: CellEvent['kind']): number =>
    events.filter((one) => one.kind === kind).reduce((sum, { count: times = 1 }) => sum + times, 0)
  const restarts = number('restart')
  const again = restarts > 0 ? [count(restarts, 'restart')] : []
  const notes = number('log') > 0 ? [count(number('log'), 'note')] : []
  if (lane.kind === 'process')
    return [...(number('failure') > 0 ? ['the failure'] : []), ...again, ...notes, ...ends(events)].join(', ')
  const errors = Map.groupBy(
    events.filter(({ kind }) => kind === 'error'),
    ({ text }) => text,
  )
  const longest = events
    .filter(({ kind }) => kind === 'stall')
    .reduce((most, { atMs, until = atMs }) => Math.max(most, until - atMs), 0)
  return [
    ...(number('right') > 0 ? [`${thousands(number('right'))} right`] : ['no read right']),
    ...(number('wrong') > 0 ? [`${thousands(number('wrong'))} wrong`] : []),
    ...[...errors].map(
      ([errno, those]) => `${thousands(those.reduce((sum, { count: times = 1 }) => sum + times, 0))} ${cut(errno, 40)}`,
    ),
    ...(longest >= LONG ? [`one took ${duration(longest)}`] : []),
    ...again,
  ].join(', ')
}

function ends(events: readonly CellEvent[]): string[] {
  const last = events.findLast(({ kind }) => kind === 'start' || kind === 'restart' || kind === 'end')
  return last?.kind === 'end' ? [`ended at ${moment(last.atMs)}`] : []
}
