import type { Cell, Evidence } from '../matrix/lab-record.ts'
import { type Html, html } from './html.ts'
import { count, cut, moment } from './text.ts'

/** Longest text that is shown of one line, in characters. */
const MOST_TEXT = 600

/** Most lines of one mount table or other list. */
const MOST_LINES = 60

/** What the cell's claims rest on: log lines, mount tables, who held which descriptor, the node's disk. `room`: most
 * characters of log lines. */
export function evidenceOf(cell: Cell, room: number): Html {
  const { evidence, lanes } = cell
  const titles = new Map(lanes.map(({ id, title }) => [id, title]))
  return html`<details class="sub">
      <summary>Log lines (${evidence.logs.length})</summary>
      ${logTable(evidence.logs, titles, cell.failureAtMs, room)}
    </details>
    <details class="sub">
      <summary>The node's mount table, before the failure and at the end</summary>
      ${beforeAndAfter(evidence.mountsBefore, evidence.mountsAfter, 'no mount of the volume')}
    </details>
    <details class="sub">
      <summary>Processes with FUSE descriptors, and the node's disk</summary>
      ${beforeAndAfter(evidence.holdersBefore, evidence.holdersAfter, 'nobody held one')}
      <p class="small">
        <b>On the node's own disk, below the mount points, at the end:</b>
        ${evidence.disk.length === 0 && 'nothing, as it ought to be.'}
      </p>
      ${evidence.disk.length > 0 && listing(evidence.disk)}
    </details>`
}

function logTable(logs: Evidence['logs'], titles: ReadonlyMap<string, string>, failureAtMs: number, room: number): Html {
  if (logs.length === 0) return html`<p class="small soft">No line was written.</p>`
  const early = logs.filter(({ atMs }) => atMs < failureAtMs)
  const before = fitting(early.toReversed(), room / 3).toReversed()
  const after = fitting(logs.slice(early.length), room - sizeOf(before))
  const left = logs.length - before.length - after.length
  const rows = (lines: Evidence['logs']): Html[] =>
    lines.map(
      ({ atMs, lane, text }) =>
        html`<tr>
          <td>${moment(atMs)}</td>
          <td>${titles.get(lane) ?? lane}</td>
          <td>${cut(text, MOST_TEXT)}</td>
        </tr>`,
    )
  return html`<div class="scroll" role="group" tabindex="0" aria-label="Log lines">
      <table class="plain logs">
        <thead>
          <tr>
            <th scope="col">At</th>
            <th scope="col">Who</th>
            <th scope="col">Line</th>
          </tr>
        </thead>
        <tbody>
          ${rows(before)}
        </tbody>
        <tbody class="late">
          <tr>
            <td>${moment(failureAtMs)}</td>
            <th colspan="2" scope="rowgroup">the failure</th>
          </tr>
          ${rows(after)}
        </tbody>
      </table>
    </div>
    ${left > 0 && html`<p class="small soft">${count(left, 'line')} far from the failure left out; the JSON record has them.</p>`}`
}

/** As many of the first lines as fit. */
function fitting(lines: Evidence['logs'], room: number): Evidence['logs'] {
  let used = 0
  const end = lines.findIndex((line) => (used += sizeOf([line])) > room)
  return end < 0 ? lines : lines.slice(0, end)
}

/** Characters that lines take up in the page, their row included. */
function sizeOf(lines: Evidence['logs']): number {
  return lines.reduce((sum, { text, lane }) => sum + Math.min(text.length, MOST_TEXT) + lane.length + 60, 0)
}

/** What went, what came and what stayed, each with its heading. */
function beforeAndAfter(before: readonly string[], after: readonly string[], none: string): Html {
  const lists: readonly (readonly [string, string, readonly string[]])[] = [
    ['gone', 'There before the failure, and gone at the end', before.filter((line) => !after.includes(line))],
    ['new', 'New at the end', after.filter((line) => !before.includes(line))],
    ['', 'The same before and at the end', before.filter((line) => after.includes(line))],
  ]
  if (before.length + after.length === 0) return html`<p class="small soft">At neither time: ${none}.</p>`
  return html`${lists.map(
    ([className, title, lines]) =>
      lines.length > 0 &&
      html`<p class="small"><b>${title}</b></p>
        <div class="${className}">${listing(lines)}</div>`,
  )}`
}

/** Lines as they were. */
export function listing(lines: readonly string[], none = 'nothing'): Html {
  if (lines.length === 0) return html`<p class="small soft">${none}</p>`
  return html`<ul class="lines mono">
    ${lines.slice(0, MOST_LINES).map((line) => html`<li>${cut(line, MOST_TEXT)}</li>`)}
    ${lines.length > MOST_LINES && html`<li>&hellip; ${count(lines.length - MOST_LINES, 'more line')} in the JSON record</li>`}
  </ul>`
}
