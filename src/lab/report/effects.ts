import type { Cell, ConsumerResult, LabRecord, OutcomeId } from '../matrix/lab-record.ts'
import { duration, listed, sentence } from './text.ts'

/** Consumers that a sentence names, beyond which only their number is told. */
const MOST_NAMES = 3

/** What an outcome comes to for the workload, the best first. */
export type Effect = 'kept' | 'waited' | 'recovered' | 'undecided' | 'broken' | 'wrong' | 'lost'

/** How an effect is told. `few` is for one consumer, `many` goes on after `3 of 9`. */
export interface EffectLabels {
  readonly few: string
  readonly many: string
  readonly meaning: string
}

export const EFFECTS: Readonly<Record<Effect, EffectLabels>> = {
  kept: { few: 'keeps working', many: 'keep working', meaning: 'every read was right, and none took a second' },
  waited: { few: 'waits, then works', many: 'wait, then work', meaning: 'no read failed, but there was a wait' },
  recovered: {
    few: 'errors, then works',
    many: 'get errors, then work',
    meaning: 'reads failed for a time, or it had to be restarted',
  },
  undecided: { few: 'is undecided', many: 'are undecided', meaning: 'the lab did not watch it for long enough' },
  broken: { few: 'stays broken', many: 'stay broken', meaning: 'it never read right again' },
  wrong: {
    few: 'sees the wrong disk',
    many: 'see the wrong disk',
    meaning: "it sees the node's own disk instead of the volume: data is written there",
  },
  lost: {
    few: 'loses acknowledged writes',
    many: 'lose acknowledged writes',
    meaning: 'what it wrote, and was told to be written, is not in the file at the end',
  },
}

export const WORST_FIRST: readonly Effect[] = ['lost', 'wrong', 'broken', 'undecided', 'recovered', 'waited', 'kept']

const OF_OUTCOME: Readonly<Record<OutcomeId, Effect>> = {
  works: 'kept',
  waits: 'waited',
  'starts-late': 'waited',
  recovers: 'recovered',
  restarted: 'recovered',
  'writes-to-host-recovers': 'recovered',
  undecided: 'undecided',
  errors: 'broken',
  'never-starts': 'broken',
  hangs: 'broken',
  'loses-unsynced': 'lost',
  'writes-to-host': 'wrong',
  'loses-synced': 'lost',
}

/** A consumer that saw the bare folder for a time is taken for one that lost data only if it could write there. */
export function effectOf({ seen, wroteToNode }: ConsumerResult): Effect {
  const effect = OF_OUTCOME[seen]
  return wroteToNode && effect !== 'lost' ? 'wrong' : effect
}

/** How many of the cell's consumers fared how; none did in a cell that was not run. */
export function tally(cells: readonly Cell[]): Readonly<Record<Effect, number>> & { readonly all: number } {
  const effects = cells.filter(ran).flatMap((cell) => cell.consumers.map(effectOf))
  const of = (effect: Effect): number => effects.filter((one) => one === effect).length
  return {
    kept: of('kept'),
    waited: of('waited'),
    recovered: of('recovered'),
    undecided: of('undecided'),
    broken: of('broken'),
    wrong: of('wrong'),
    lost: of('lost'),
    all: effects.length,
  }
}

/** The cells of a record, that without a failure first. */
export function allCells({ firstUse, cells }: Pick<LabRecord, 'firstUse' | 'cells'>): readonly Cell[] {
  return firstUse === undefined ? cells : [firstUse, ...cells]
}

export function ran({ verdict, consumers }: Cell): boolean {
  return verdict !== 'not-run' && consumers.length > 0
}

/** The worst that came to any of its consumers; undefined for a cell that was not run. */
export function worstOf(cell: Cell): Effect | undefined {
  const counts = tally([cell])
  return WORST_FIRST.find((effect) => counts[effect] > 0)
}

/** No consumer had a failed read or had to be restarted. */
export function withoutError(cell: Cell): boolean {
  const worst = worstOf(cell)
  return worst === 'kept' || worst === 'waited'
}

/** Each consumer worked at the end, none saw the wrong disk, and none lost writes. */
export function worksInTheEnd(cell: Cell): boolean {
  return withoutError(cell) || worstOf(cell) === 'recovered'
}

/** What a cell came to, in a few words: its worst effect, after on how many. One that lost data does not hide those that stay broken. */
export function shortly(cell: Cell): readonly [onHowMany: string, effect: string] {
  const worst = worstOf(cell)
  if (worst === undefined) return ['', 'not run']
  const counts = tally([cell])
  if (counts.all === 1) return ['', EFFECTS[worst].few]
  const besides = (worst === 'wrong' || worst === 'lost') && counts.broken > 0 ? `, ${counts.broken} ${EFFECTS.broken.many}` : ''
  return [`${counts[worst] === counts.all ? 'all' : `${counts[worst]} of`} ${counts.all}`, EFFECTS[worst].many + besides]
}

/** What a cell came to, in a sentence that names each effect. */
export function fully(cell: Cell, { catalogue }: LabRecord): string {
  if (!ran(cell)) return `Not run: ${cell.why ?? 'no reason was given'}.`
  const parts = WORST_FIRST.toReversed().flatMap((effect) => {
    const names = cell.consumers
      .filter((one) => effectOf(one) === effect)
      .map(({ consumer }) => catalogue.consumers[consumer]?.title ?? consumer)
    if (names.length === 0) return []
    if (names.length === cell.consumers.length) return [`all ${names.length} consumers ${EFFECTS[effect].many}`]
    const named = names.length <= MOST_NAMES ? ` (${names.join('; ')})` : ''
    return [`${names.length} ${EFFECTS[effect][names.length === 1 ? 'few' : 'many']}${named}`]
  })
  const stall = Math.max(...cell.consumers.map(({ longestStallMs }) => longestStallMs))
  return `${sentence(listed(parts))}. The longest that a read took: ${duration(stall)}.`
}
