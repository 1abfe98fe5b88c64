import { OUTCOMES } from './outcomes.ts'
import type { Absent, Cell } from './lab-record.ts'

/** Outcomes in which no read of a consumer fails. */
const UNHARMED = OUTCOMES.waits.rank

/**
 * The matrix as text, a row for each failure and a column for each mitigation that has cells: how many consumers met no error, of how
 * many; `!` where the model says otherwise, `?` what did not run, `-` what makes no sense.
 */
export function table(cells: readonly Cell[], absent: readonly Absent[]): string {
  const failures = unique([...cells, ...absent].map(({ failure }) => failure)).filter((failure) =>
    cells.some((cell) => cell.failure === failure),
  )
  const mitigations = unique(cells.map(({ mitigation }) => mitigation))
  const rows = failures.map((failure) => [
    failure,
    ...mitigations.map((mitigation) => entry(cells.find((cell) => cell.failure === failure && cell.mitigation === mitigation))),
  ])
  const all = [['', ...mitigations], ...rows]
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? []
  const lines = all.map((row) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  return [...lines, '', 'consumers without any error, of how many; ! not as the model says, ? not run, - makes no sense', ''].join(
    '\n',
  )
}

function entry(cell: Cell | undefined): string {
  if (cell === undefined) return '-'
  if (cell.verdict === 'not-run') return '?'
  const well = cell.consumers.filter(({ seen }) => OUTCOMES[seen].rank <= UNHARMED).length
  const mark = cell.verdict === 'as-modelled' || cell.verdict === 'measured' ? '' : ' !'
  return `${well}/${cell.consumers.length}${mark}`
}

function unique(all: readonly string[]): readonly string[] {
  return [...new Set(all)]
}
