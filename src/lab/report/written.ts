import type { LabRecord, Written } from '../matrix/lab-record.ts'
import { allCells } from './effects.ts'
import { listing } from './evidence.ts'
import { type Html, html } from './html.ts'
import { markdown } from './markdown.ts'
import { count, thousands } from './text.ts'

/** The most entries that are shown. */
const MOST = 12

/** What a driver has written outside of its state in a whole run. */
interface WrittenInRun {
  /** A line for each path, with what is there and in how many cells; in the order of the paths. */
  readonly lines: readonly string[]
  /** How many paths are not shown. */
  readonly more: number
  /** How many cells were looked at. */
  readonly cells: number
}

/** Undefined for a run that was not looked at, as one of this project's own plugin is not. */
export function writtenIn(record: LabRecord): WrittenInRun | undefined {
  const cells = allCells(record).map(({ evidence }) => evidence)
  const seen = cells.filter((one) => one.written !== undefined)
  if (seen.length === 0) return undefined
  const byPath = Map.groupBy(
    seen.flatMap(({ written = [] }) => written),
    ({ path }) => path,
  )
  const all = [...byPath].sort(([a], [b]) => (a < b ? -1 : 1))
  const lines = all.slice(0, MOST).map(([path, those]) => `${path} (${kinds(those)}; ${count(those.length, 'cell')})`)
  const cut = Math.max(0, ...seen.map(({ writtenMore = 0 }) => writtenMore))
  return { lines, more: all.length - lines.length + cut, cells: seen.length }
}

/** What is at a path, in words: `file, 12 bytes`. */
export function inKind({ kind, size }: Written): string {
  return size === undefined ? kind : `${kind}, ${size === 1 ? '1 byte' : `${thousands(size)} bytes`}`
}

function kinds(those: readonly Written[]): string {
  const largestLast = those.toSorted((a, b) => (a.size ?? 0) - (b.size ?? 0))
  return [...new Map(largestLast.map((one) => [one.kind, inKind(one)])).values()].join(' or ')
}

const TITLE = 'Written outside of its state'

const WORDS =
  'A real node keeps these files when the driver is removed, and other drivers find them. Here they ended with each cell.'

/** A section of the page; nothing for a run that was not looked at. */
export function writtenSection(record: LabRecord): Html | false {
  const found = writtenIn(record)
  if (found === undefined) return false
  return html`<section aria-labelledby="written">
    <h2 id="written">${TITLE}</h2>
    ${
      found.lines.length === 0
        ? html`<p class="measure">${nothing(found)}</p>`
        : html`<p class="measure">${WORDS}</p>
            ${listing(found.lines)} ${found.more > 0 && html`<p class="small soft">${rest(found)}</p>`}`
    }
  </section>`
}

/** The same in Markdown; empty for a run that was not looked at. */
export function writtenMarkdown(record: LabRecord): string {
  const found = writtenIn(record)
  if (found === undefined) return ''
  if (found.lines.length === 0) return `${markdown(`${TITLE}: ${nothing(found)}`)}\n`
  const lines = [...found.lines, ...(found.more > 0 ? [rest(found)] : [])].map((line) => `- ${markdown(line)}\n`)
  return `**${TITLE}**\n\n${markdown(WORDS)}\n\n${lines.join('')}`
}

function nothing({ cells }: WrittenInRun): string {
  return `nothing, in ${count(cells, 'cell')}.`
}

function rest({ more }: WrittenInRun): string {
  return `${thousands(more)} more; the JSON record has them, up to 1,000 of each cell.`
}
