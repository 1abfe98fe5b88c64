import type { Cell, CellEvent } from '../matrix/lab-record.ts'
import { type Html, html } from './html.ts'
import { count, cut, moment } from './text.ts'
import { type Run, runsOf } from './timeline.ts'

/** Rows that are shown; the JSON record has the others. */
const MOST_ROWS = 80
const MOST_TEXT = 160

const TOLD: Readonly<Record<CellEvent['kind'], string>> = {
  start: 'started',
  end: 'ended',
  failure: 'the failure',
  mended: 'mended',
  restart: 'started again',
  right: 'reads right',
  wrong: 'reads wrong data',
  error: 'reads fail',
  stall: 'a read takes long',
  log: 'note',
}

/** The timeline in words, for who does not see it and for who wants the figures. */
export function timelineTable({ events, lanes }: Cell): Html {
  const runs = runsOf(events)
  const titles = new Map(lanes.map(({ id, title }) => [id, title]))
  return html`<div class="scroll" role="group" tabindex="0" aria-label="The timeline as a table">
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">From</th>
            <th scope="col">To</th>
            <th scope="col">Who</th>
            <th scope="col">What</th>
          </tr>
        </thead>
        <tbody>
          ${runs.slice(0, MOST_ROWS).map(
            (run) =>
              html`<tr>
                <td>${moment(run.fromMs)}</td>
                <td>${run.toMs > run.fromMs && moment(run.toMs)}</td>
                <td>${titles.get(run.lane) ?? run.lane}</td>
                <td>${description(run)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${runs.length > MOST_ROWS && html`<p class="small soft">${count(runs.length - MOST_ROWS, 'more row')} in the JSON record.</p>`}`
}

function description({ kind, count: times, text }: Run): string {
  const number = times > 1 ? ` (${count(times, 'time')})` : ''
  if (text === '' || text === kind || TOLD[kind].startsWith(text)) return `${TOLD[kind]}${number}`
  return text.startsWith(TOLD[kind]) ? cut(text, MOST_TEXT) : `${TOLD[kind]}${number}: ${cut(text, MOST_TEXT)}`
}
