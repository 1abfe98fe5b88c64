import type { AcknowledgedWrites, Cell, ConsumerResult, LabRecord } from '../matrix/lab-record.ts'
import { count, duration, listed, thousands } from './text.ts'

/** Adds up what was written in a way, over all consumers that wrote in these cells. */
function total(cells: readonly Cell[], by: AcknowledgedWrites['by'], what: 'acknowledged' | 'lost'): number {
  const ways = cells.flatMap(({ consumers }) => consumers).flatMap(({ writes }) => writes?.ways ?? [])
  return ways.filter((way) => way.by === by).reduce((sum, way) => sum + way[what], 0)
}

/** What was lost, by what had acknowledged it: `3 of 120 records that fsync had acknowledged`. */
function lostWords(cells: readonly Cell[]): readonly string[] {
  return (['fsync', 'close', 'write'] as const).flatMap((by) => {
    const lost = total(cells, by, 'lost')
    const alone = by === 'write' ? 'write alone' : by
    return lost === 0
      ? []
      : [`${thousands(lost)} of ${count(total(cells, by, 'acknowledged'), 'record')} that ${alone} had acknowledged`]
  })
}

/** What is not in the files at the end, a sentence. */
export function lostSentence(cells: readonly Cell[]): string {
  return `Not in the files at the end: ${listed(lostWords(cells))}.`
}

/** What came of the records of a consumer, part by part: of each way how many were acknowledged, lost and refused, and the longest wait. */
export function writesWords({ writes }: Pick<ConsumerResult, 'writes'>): readonly string[] {
  if (writes === undefined) return []
  const { ways, notReadBack } = writes
  return [
    ...ways.map((way) => `${way.by}: ${wayWords(way)}`),
    ...(notReadBack === undefined ? [] : [`not all records were read back (${notReadBack})`]),
  ]
}

function wayWords({ acknowledged, lost, lostBefore, notInStorage = 0, refused, longestMs }: AcknowledgedWrites): string {
  const errors = Object.entries(refused).map(([name, number]) => `${thousands(number)} ${name}`)
  return [
    `${thousands(acknowledged)} acknowledged`,
    ...(lost > 0
      ? [`${thousands(lost)} of them lost${lostBefore > 0 ? ` (${thousands(lostBefore)} from before the failure)` : ''}`]
      : []),
    ...(notInStorage > lost ? [`${thousands(notInStorage)} of them not in the storage`] : []),
    ...(errors.length > 0 ? [`refused with ${errors.join(', ')}`] : []),
    `the longest took ${duration(longestMs)}`,
  ].join(', ')
}

/** Whether acknowledged writes were lost, a sentence with a space before it; empty where nobody was to write. */
export function whetherLost(
  cells: readonly Cell[],
  { catalogue, absent, firstUse }: Pick<LabRecord, 'catalogue' | 'absent' | 'firstUse'>,
): string {
  const names = (those: readonly Cell[]): string =>
    listed(those.map(({ failure }) => catalogue.failures[failure]?.title ?? failure))
  const first = firstUse !== undefined && lostWords([firstUse]).length > 0 ? [firstUse] : []
  const written = [...first, ...cells].filter(({ consumers }) => consumers.some(({ writes }) => writes !== undefined))
  const losing = written.filter((cell) => lostWords([cell]).length > 0)
  const unknown = written.filter(
    (cell) => !losing.includes(cell) && cell.consumers.some(({ writes }) => writes?.notReadBack !== undefined),
  )
  const kept = written.filter((cell) => !losing.includes(cell) && !unknown.includes(cell))
  const refusal = absent.find(({ consumer }) => consumer === 'writes')
  const parts = [
    ...losing.map((cell) => `With ${names([cell])}, acknowledged writes are lost: ${listed(lostWords([cell]))}.`),
    ...(unknown.length > 0 ? [`Whether acknowledged writes were lost with ${names(unknown)} is not known.`] : []),
    ...(kept.length > 0 ? [`No acknowledged write was lost with ${names(kept)}.`] : []),
    ...(written.length === 0 && refusal !== undefined ? [`No consumer wrote. ${refusal.reason}`] : []),
  ]
  return parts.map((part) => ` ${part}`).join('')
}
