import type { Cell, LabRecord } from '../matrix/lab-record.ts'
import { ran, shortly } from './effects.ts'
import { driverFindings, type DriverFindings, unchangedWords, unnoticedWords } from './findings.ts'
import { HARMS } from './harms.ts'
import { markdown, markdownTable } from './markdown.ts'
import { notTriedWords } from './not-tried.ts'
import { count, listed } from './text.ts'
import { VERDICTS } from './verdicts.ts'
import { writtenMarkdown } from './written.ts'

/** The run in short, in Markdown: the findings of a driver, or where the model says otherwise; then the matrix. Ends with a line feed. */
export function summaryMarkdown(record: LabRecord): string {
  const found = driverFindings(record)
  const parts = [
    `### ${markdown(record.driver)}: what happens when a FUSE volume fails\n`,
    found === undefined ? agreement(record) : findings(found, record),
    matrix(record, found),
    found === undefined ? '' : absences(record),
    writtenMarkdown(record),
    scenarios(record),
  ]
  return parts.filter((part) => part !== '').join('\n')
}

function findings(found: DriverFindings, record: LabRecord): string {
  const name = (id: string): string => record.catalogue.failures[id]?.title ?? id
  const lines = found.findings.map(
    ({ harm, failures, what, evidence, cure }) =>
      `1. **${markdown(HARMS[harm].title)}**: ${markdown(listed(failures.map(name)))}. ${markdown(what)}\n${evidence
        .map(({ cell, text }) => `   - ${markdown(name(cell.failure))}: ${markdown(text)}\n`)
        .join('')}   - Nearest cure: ${markdown(cure)}\n`,
  )
  const unnoticed = unnoticedWords(found, record)
  return [
    `${markdown(found.sentences.join(' '))}\n`,
    ...(lines.length === 0 ? [] : [`**Findings, the worst first**\n\n${lines.join('')}`]),
    ...(unnoticed === undefined ? [] : [`${markdown(unnoticed)}\n`]),
  ].join('\n')
}

/** What did not come out as modelled, and what did not run. */
function agreement({ cells, catalogue }: LabRecord): string {
  if (cells.length === 0) return ''
  const done = cells.filter(ran)
  const well = done.filter(({ verdict }) => verdict === 'as-modelled' || verdict === 'measured')
  const others = cells.filter((cell) => !well.includes(cell))
  const line = ({ failure, mitigation, verdict, why }: Cell): string =>
    `- ${markdown(`${catalogue.failures[failure]?.title ?? failure}, with: ${catalogue.mitigations[mitigation]?.title ?? mitigation}: ${VERDICTS[verdict].words}${why === undefined ? '' : `. ${why}`}`)}\n`
  return `${count(done.length, 'cell')} ran, and ${well.length} came out as the model says.\n${others.length === 0 ? '' : `\n${others.map(line).join('')}`}`
}

function matrix(record: LabRecord, found: DriverFindings | undefined): string {
  const { cells, catalogue } = record
  if (cells.length === 0) return ''
  const inRun = (side: 'failure' | 'mitigation', id: string): boolean => cells.some((cell) => cell[side] === id)
  const columns = Object.entries(catalogue.mitigations).filter(
    ([id]) => inRun('mitigation', id) && found?.unchanged.includes(id) !== true,
  )
  const rows = Object.entries(catalogue.failures).filter(([id]) => inRun('failure', id))
  const entry = (failure: string, mitigation: string): string => {
    const cell = cells.find((one) => one.failure === failure && one.mitigation === mitigation)
    return cell === undefined ? '' : shortly(cell).join(' ').trim()
  }
  const unchanged = found === undefined ? undefined : unchangedWords(found, record)
  return `${markdownTable(
    ['failure', ...columns.map(([, { title }]) => markdown(title))],
    rows.map(([failure, { title }]) => [markdown(title), ...columns.map(([id]) => markdown(entry(failure, id)))]),
  )}\n_Each cell shows the worst result of any consumer.${unchanged === undefined ? '' : ` ${markdown(unchanged)}`}_\n`
}

/** What could not be done to a driver, and why. */
function absences(record: LabRecord): string {
  const lines = notTriedWords(record).map((words) => `- ${markdown(words)}\n`)
  return lines.length === 0 ? '' : `**Not tried**\n\n${lines.join('')}`
}

function scenarios({ scenarios: all }: LabRecord): string {
  if (all.length === 0) return ''
  return markdownTable(
    ['scenario', 'outcome'],
    all.map(({ name, outcome, reason }) => [markdown(name), markdown(reason === undefined ? outcome : `${outcome}: ${reason}`)]),
  )
}
