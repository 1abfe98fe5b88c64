import type { Cell, ConsumerResult, LabRecord } from '../../src/lab/matrix/lab-record.ts'

const NO_ERROR = new Set<ConsumerResult['seen']>(['works', 'waits', 'starts-late'])
const RIGHT_AT_THE_END = new Set<ConsumerResult['seen']>([...NO_ERROR, 'recovers', 'restarted', 'writes-to-host-recovers'])

/**
 * The programs against the failures as a Markdown table, one for each mitigation that ran. A cell says how many consumers met no error, how
 * many read right at the end, of how many, and after how many seconds the last of those read right that noticed the failure: `2, 9 / 10, 1.5 s`.
 * `–` is a failure that cannot be caused.
 */
export function programTable(records: ReadonlyMap<string, LabRecord>): string {
  const all = [...records.values()].flatMap(({ cells }) => cells)
  const mitigations = [...new Set(all.map(({ mitigation }) => mitigation))]
  return mitigations
    .map((mitigation) => {
      const failures = [...new Set(all.filter((cell) => cell.mitigation === mitigation).map(({ failure }) => failure))]
      const rows = failures.map((failure) => {
        const cells = [...records.values()].map((record) =>
          record.cells.find((cell) => cell.failure === failure && cell.mitigation === mitigation),
        )
        return `| \`${failure}\` | ${cells.map(counts).join(' | ')} |`
      })
      const names = [...records.keys()]
      const head = [`| failure | ${names.join(' | ')} |`, `| --- |${' --- |'.repeat(names.length)}`]
      return [`Under \`${mitigation}\`:`, '', ...head, ...rows].join('\n')
    })
    .join('\n\n')
}

function counts(cell: Cell | undefined): string {
  if (cell === undefined) return '–'
  if (cell.verdict === 'not-run') return 'not run'
  const of = (outcomes: ReadonlySet<string>): number => cell.consumers.filter(({ seen }) => outcomes.has(seen)).length
  const times = cell.consumers.flatMap(({ seen, firstRightAfterFailureMs: time }) =>
    seen !== 'works' && RIGHT_AT_THE_END.has(seen) && time !== null ? [time] : [],
  )
  const last = times.length === 0 ? '' : `, ${(Math.max(...times) / 1000).toFixed(1)} s`
  return `${of(NO_ERROR)}, ${of(RIGHT_AT_THE_END)} / ${cell.consumers.length}${last}`
}
