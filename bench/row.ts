import type { Figures } from './measure.ts'

type Unit = 'ms' | 'µs' | 'MB' | 'KB' | 'errors'

/** One line of the report: a figure of ours, what it is held against, and what it must not exceed. */
export type Row = Judged | Missing

export interface Judged {
  readonly work: string
  readonly unit: Unit
  readonly ours: Figures
  readonly peer: Figures | null
  /** Which of the figures is judged. */
  readonly by: 'p50' | 'p99'
  /** How `result` was had: ours divided by the peer's, ours less the peer's, or ours as it is. */
  readonly as: 'ratio' | 'difference' | 'value'
  readonly result: number
  readonly limit: number
  readonly within: boolean
}

/** A figure that could not be taken, which is never a pass. */
interface Missing {
  readonly work: string
  readonly error: string
}

type Judgement = Pick<Judged, 'work' | 'unit' | 'ours' | 'limit'> & { readonly by?: Judged['by'] }

function judge(row: Omit<Judged, 'within' | 'by'> & { readonly by?: Judged['by'] }): Judged {
  return { ...row, by: row.by ?? 'p50', within: row.result <= row.limit }
}

/** Ours divided by the peer's; `allowance` is added to the peer's before. */
export function ratio({ allowance = 0, ...row }: Judgement & { readonly peer: Figures; readonly allowance?: number }): Judged {
  const { ours, peer, by = 'p50' } = row
  return judge({ ...row, as: 'ratio', result: ours[by] / (peer[by] + allowance) })
}

/** What ours is more than the peer's. */
export function difference(row: Judgement & { readonly peer: Figures }): Judged {
  const { ours, peer, by = 'p50' } = row
  return judge({ ...row, as: 'difference', result: ours[by] - peer[by] })
}

/** Ours as it is. */
export function value(row: Judgement): Judged {
  return judge({ ...row, peer: null, as: 'value', result: row.ours[row.by ?? 'p50'] })
}

/** A single number as figures. */
export function single(name: string, number: number): Figures {
  return { name, p50: number, p99: number }
}

/** A table for people. */
export function table(rows: readonly Row[]): string {
  const all = [['what', 'ours', 'peer', 'result', 'limit', 'within'], ...rows.map(cells)]
  const widths = (all[0] ?? []).map((_, column) =>
    Math.max(...all.map((row) => (row.length === 6 ? (row[column]?.length ?? 0) : 0))),
  )
  widths[0] = Math.max(...all.map(([work]) => work?.length ?? 0))
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function cells(row: Row): string[] {
  if ('error' in row) return [row.work, `ERROR: ${row.error}`]
  const { work, unit, ours, peer, as, result, limit, within } = row
  const suffix = as === 'ratio' ? 'x' : ` ${unit}`
  return [
    work,
    shown(ours, unit),
    peer === null ? '-' : shown(peer, unit),
    `${digits(result)}${suffix}`,
    `<= ${digits(limit)}${suffix}`,
    within ? 'yes' : 'NO',
  ]
}

function shown({ name, p50, p99 }: Figures, unit: Unit): string {
  return p50 === p99 ? `${name} ${digits(p50)} ${unit}` : `${name} ${digits(p50)} ${unit} (p99 ${digits(p99)})`
}

function digits(number: number): string {
  return Number.isInteger(number) ? String(number) : number.toFixed(Math.abs(number) < 100 ? 2 : 0)
}
