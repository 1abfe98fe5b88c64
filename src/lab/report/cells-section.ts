import type { Cell, LabRecord } from '../matrix/lab-record.ts'
import { consumersTable } from './consumers-table.ts'
import { allCells, fully, ran, shortly, worstOf } from './effects.ts'
import { evidenceOf } from './evidence.ts'
import { type Html, html } from './html.ts'
import { icon } from './icons.ts'
import { cellId } from './ids.ts'
import { teardownSection } from './teardown-section.ts'
import { duration, moment, sentence } from './text.ts'
import { timelineFigure } from './timeline-figure.ts'
import { VERDICTS } from './verdicts.ts'

/** Bytes that the cells may take up together, and what one takes without its log lines: the lines of all share the rest. */
const ALL_CELLS = 2_500_000
const BARE_CELL = 26_000

/** Each cell's story, timeline and evidence, closed at first, by failure. */
export function cellsSection(record: LabRecord): Html {
  const { catalogue } = record
  const cells = allCells(record)
  if (cells.length === 0) return html``
  const room = Math.min(60_000, Math.max(2500, ALL_CELLS / cells.length - BARE_CELL))
  return html`<section id="cells" aria-labelledby="cells-title">
    <h2 id="cells-title">Cell by cell</h2>
    <p class="measure">
      Time runs from left to right. The tall red line is the moment of the failure, and what comes after it is tinted. Low green
      marks are reads that were right, tall red ones are reads that failed, and a gap is a time in which no read returned.
    </p>
    ${Object.entries(catalogue.failures).map(([failure, { title, words }]) => {
      const row = cells.filter((cell) => cell.failure === failure)
      return (
        row.length > 0 &&
        html`<h3 id="f-${failure}" tabindex="-1">${title}</h3>
          <p class="measure">${words}</p>
          ${row.map((cell) => details(cell, record, room))}`
      )
    })}
  </section>`
}

function details(cell: Cell, record: LabRecord, room: number): Html {
  const { failures, mitigations } = record.catalogue
  const failure = failures[cell.failure]?.title ?? cell.failure
  const mitigation = mitigations[cell.mitigation] ?? { title: cell.mitigation, words: '' }
  const effect = worstOf(cell) ?? 'unknown'
  const badge = VERDICTS[cell.verdict].badge
  return html`<details class="item">
    <summary>
      <span class="name">${mitigation.title}</span>
      <span class="chip ${effect}">${icon(effect)}${shortly(cell).join(' ')}</span>
      ${badge !== '' && html`<span class="badge">${badge} than modelled</span>`}
    </summary>
    <div class="body">
      <h4 id="${cellId(cell)}" tabindex="-1">${failure}, with: ${mitigation.title}</h4>
      <p class="measure small soft">${mitigation.words}</p>
      <p class="measure">
        ${fully(cell, record)}${ran(cell) && ` ${cell === record.firstUse ? `The cell took ${duration(cell.tookMs)}.` : times(cell)}`}
      </p>
      ${verdict(cell)}
      ${
        ran(cell) &&
        html`${timelineFigure(cell, `${failure}, with: ${mitigation.title}`, `t${allCells(record).indexOf(cell)}`)}
          <h5>What each consumer saw</h5>
          ${consumersTable(cell, record)}${unready(cell, record)}${notTried(cell, record)}${teardownSection(cell)}
          <h5>Evidence</h5>
          ${evidenceOf(cell, room)}`
      }
      ${record.cells.length > 0 && html`<p class="small"><a href="#matrix">Back to the matrix</a></p>`}
    </div>
  </details>`
}

function times({ failureAtMs, mendedAtMs, tookMs }: Cell): string {
  const mended =
    mendedAtMs === null
      ? 'nothing was repaired from outside'
      : `the repair was complete ${duration(mendedAtMs - failureAtMs)} later`
  return `The failure was caused ${moment(failureAtMs)} after the start of the cell; ${mended}. The cell took ${duration(tookMs)}.`
}

function verdict({ verdict: id, why }: Cell): Html | false {
  if (id === 'not-run') return false
  const { words } = VERDICTS[id]
  return html`<p class="measure"><b>${sentence(words)}.</b>${why !== undefined && why !== '' && ` ${why}`}</p>`
}

function unready({ unready: ids = [] }: Cell, { catalogue }: LabRecord): Html | false {
  if (ids.length === 0) return false
  const names = ids.map((id) => catalogue.consumers[id]?.title ?? id)
  return html`<p class="small">Did not read right before the failure, so that nothing is said of it: ${names.join('; ')}.</p>`
}

function notTried({ failure, mitigation }: Cell, { absent, catalogue }: LabRecord): Html | false {
  const here = absent.filter((one) => one.failure === failure && one.mitigation === mitigation && one.consumer !== undefined)
  if (here.length === 0) return false
  return html`<p class="small soft">Not tried:</p>
    <ul class="small">
      ${here.map(({ consumer = '', reason }) => html`<li>${catalogue.consumers[consumer]?.title ?? consumer}: ${reason}</li>`)}
    </ul>`
}
