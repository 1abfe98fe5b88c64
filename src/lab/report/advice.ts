import type { Cell, FailureId, LabRecord, MitigationId } from '../matrix/lab-record.ts'
import { type Effect, ran, withoutError, WORST_FIRST, worksInTheEnd, worstOf } from './effects.ts'

/** How a mitigation fared in all the cells that ran. Numbers of failures. */
export interface Score {
  readonly mitigation: MitigationId
  readonly tried: number
  /** In which no consumer had an error. */
  readonly withoutError: number
  /** In which each consumer worked at the end. */
  readonly worksInTheEnd: number
}

/** Failures that the best mitigation does not keep from the consumers, and of which the same is to be said. */
export interface Gap {
  readonly failures: readonly FailureId[]
  /** The least that any mitigation could make of it: its worst effect on a consumer, or that without an error. */
  readonly least: Effect
  /** The mitigations with which that was all that came of it. */
  readonly by: readonly MitigationId[]
  /** The most that came of it with another one. */
  readonly most: Effect
}

/** Which mitigation the cells speak for. Nothing of it is fixed: it follows from what was seen. */
export interface Advice {
  /** The mitigations with the best score: more than one if they are equal, none if no cell without an error was seen. */
  readonly best: readonly MitigationId[]
  readonly gaps: readonly Gap[]
  /** In the order of the catalogue; those that were tried. */
  readonly scores: readonly Score[]
}

/**
 * Mitigations are compared by the number of failures that no consumer notices, then by the number that all get over, of those that were
 * tried with both. Numbers and not shares, so that one made for a single failure does not beat one that covers most. A failure that only one mitigation was tried with,
 * because only that one has the part which fails, compares nothing.
 */
export function adviceFrom({ cells, catalogue }: LabRecord): Advice {
  const done = cells.filter(ran)
  const scores = Object.keys(catalogue.mitigations)
    .map((mitigation) => scoreOf(mitigation, done))
    .filter(({ tried }) => tried > 0)
  const compared = comparable(done)
  const best = bestOf(
    scores.map(({ mitigation }) => mitigation),
    compared,
  )
  // A failure of a part that the best mitigations do not have leaves nothing open.
  const met = done.filter((cell) => best.includes(cell.mitigation) || compared.includes(cell))
  const open = Object.keys(catalogue.failures).flatMap((failure) => gapOf(failure, best, met))
  const alike = Map.groupBy(open, ({ least, by, most }) => [least, most, ...by].join())
  const gaps = [...alike.values()].flatMap(([one, ...others]) =>
    one === undefined ? [] : [{ ...one, failures: [one, ...others].flatMap(({ failures }) => failures) }],
  )
  return { best, gaps, scores }
}

function bestOf(mitigations: readonly MitigationId[], done: readonly Cell[]): readonly MitigationId[] {
  const scores = mitigations.map((mitigation) => scoreOf(mitigation, done))
  const most = Math.max(0, ...scores.map((score) => score.withoutError))
  const leading = scores.filter((score) => most > 0 && score.withoutError === most).map(({ mitigation }) => mitigation)
  const getOver = (one: MitigationId, other: MitigationId): number => {
    const both = done.filter(({ failure }) =>
      [one, other].every((id) => done.some((cell) => cell.failure === failure && cell.mitigation === id)),
    )
    return scoreOf(one, both).worksInTheEnd
  }
  return leading.filter((one) => leading.every((other) => getOver(one, other) >= getOver(other, one)))
}

/** The cells whose failure was tried with another mitigation too; all cells of a run of one mitigation. */
function comparable(done: readonly Cell[]): readonly Cell[] {
  if (new Set(done.map(({ mitigation }) => mitigation)).size <= 1) return done
  const tried = Map.groupBy(done, ({ failure }) => failure)
  return done.filter(({ failure }) => (tried.get(failure)?.length ?? 0) > 1)
}

function gapOf(failure: FailureId, best: readonly MitigationId[], done: readonly Cell[]): readonly Gap[] {
  const row = done.filter((cell) => cell.failure === failure)
  if (row.length === 0 || row.some((cell) => best.includes(cell.mitigation) && withoutError(cell))) return []
  const place = (cell: Cell): number => WORST_FIRST.indexOf(worstOf(cell) ?? 'wrong')
  const least = Math.max(...row.map(place))
  const by = row.filter((cell) => place(cell) === least || (withoutError(cell) && least >= WORST_FIRST.indexOf('waited')))
  const effect = (index: number): Effect => WORST_FIRST[index] ?? 'wrong'
  return [
    {
      failures: [failure],
      least: effect(least),
      by: by.map(({ mitigation }) => mitigation),
      most: effect(Math.min(...row.map(place))),
    },
  ]
}

function scoreOf(mitigation: MitigationId, done: readonly Cell[]): Score {
  const cells = done.filter((cell) => cell.mitigation === mitigation)
  return {
    mitigation,
    tried: cells.length,
    withoutError: cells.filter(withoutError).length,
    worksInTheEnd: cells.filter(worksInTheEnd).length,
  }
}
