import type { Cell, CellEvent, Lane } from '../matrix/record.ts'
import { type Html, html } from './html.ts'
import { type Icon, icon } from './icons.ts'
import { cellId } from './ids.ts'
import { count, cut, duration, moment, thousands } from './text.ts'
import { LANE_UNITS, marksOf, pathOf, type Run, runsOf, type Scale, scaleTo } from './timeline.ts'

/** Rows of the timeline in words; the JSON record has the others. */
const MOST_ROWS = 80
const MOST_TEXT = 160

/** Where in a lane of 24 units the marks of a kind are: height tells them apart where colour does not. */
const SHAPES = [
  { kind: 'right', spans: [[12, 9]] },
  { kind: 'stall', spans: [[9, 3]] },
  { kind: 'wrong', spans: [[3, 6], [13, 8]] }, // prettier-ignore
  { kind: 'error', spans: [[3, 18]] },
] as const

/** Moments that are drawn as a sign each. */
const SIGNS: Readonly<Partial<Record<CellEvent['kind'], Icon>>> = {
  start: 'start',
  end: 'end',
  restart: 'restart',
  failure: 'failure',
  mended: 'mended',
}

/** The cell's timeline, a lane for each process and consumer, with the same in a table for who does not see it. */
export function timelineFigure(cell: Cell, name: string): Html {
  const end = cell.events.reduce((latest, { atMs, until = atMs }) => Math.max(latest, until), cell.failureAtMs)
  const scale = scaleTo(end)
  const byLane = Map.groupBy(cell.events, ({ lane }) => lane)
  return html`<figure class="timeline" aria-label="Timeline: ${name}">
      <figcaption class="key" aria-hidden="true">
        <span class="k right">read right</span><span class="k error">error</span><span class="k wrong">wrong data</span
        ><span class="k stall">one read that takes long</span><span class="k up">process runs</span
        ><span>${icon('restart')} started again</span>
      </figcaption>
      <div class="lane axis">
        <span class="lab"></span>
        ${axis(cell, scale)}
        <span class="note"></span>
      </div>
      ${cell.lanes.map((lane) => laneRow(lane, byLane.get(lane.id) ?? [], cell, scale))}
    </figure>
    <details class="sub">
      <summary>The timeline as a table</summary>
      ${timelineTable(cell)}
    </details>`
}

/** Times, and what is at the same place in every lane: round times, the failure and all after it, the mending. */
function axis(cell: Cell, scale: Scale): Html {
  const { failureAtMs, mendedAtMs } = cell
  return html`<svg class="bar" aria-hidden="true">
    <defs>
      <g id="${groundId(cell)}">
        ${scale.ticks.slice(1).map(({ ms }) => line(scale, ms, 'tick'))}
        <rect class="after" x="${scale.percent(failureAtMs)}" width="${scale.percent(scale.endMs - failureAtMs)}" height="100%" />
        ${line(scale, failureAtMs, 'bad')}${mendedAtMs !== null && line(scale, mendedAtMs, 'good')}
      </g>
    </defs>
    ${flag(scale, failureAtMs, `failure at ${moment(failureAtMs)}`, 'bad', 13)}
    ${mendedAtMs !== null && flag(scale, mendedAtMs, `mended at ${moment(mendedAtMs)}`, 'good', 28)}
    ${scale.ticks.map(
      ({ ms, label }) =>
        html`<text x="${scale.percent(ms)}" y="45" text-anchor="${anchor(ms / scale.endMs, 0.04, 0.96)}">${label}</text>`,
    )}
  </svg>`
}

function groundId(cell: Cell): string {
  return `t-${cellId(cell)}`
}

function flag(scale: Scale, ms: number, text: string, className: string, y: number): Html {
  const at = scale.percent(ms)
  return html`<line class="${className}" x1="${at}" x2="${at}" y1="${y - 9}" y2="52" /><text
      class="${className}"
      x="${at}"
      y="${y}"
      text-anchor="${anchor(ms / scale.endMs, 0.3, 0.7)}"
      >${text}</text
    >`
}

function anchor(part: number, low: number, high: number): string {
  if (part < low) return 'start'
  return part > high ? 'end' : 'middle'
}

function laneRow(lane: Lane, events: readonly CellEvent[], cell: Cell, scale: Scale): Html {
  const shapes = SHAPES.map(({ kind, spans }) => ({
    kind,
    spans,
    marks: marksOf(
      events.filter((one) => one.kind === kind),
      scale,
    ),
  }))
  const note = noteOf(lane, events)
  const up = marksOf(lifetimes(events, scale.endMs), scale)
  return html`<div class="lane ${lane.kind}">
    <span class="lab">${lane.title}${lane.pid !== undefined && html` <span class="soft">[${lane.pid}]</span>`}</span>
    <svg class="bar" role="img">
      <title>${lane.title}</title>
      <desc>${note}</desc>
      <use href="#${groundId(cell)}" />
      <svg viewBox="0 0 ${LANE_UNITS} 24" preserveAspectRatio="none" width="100%" height="100%">
        ${path('up', lane.kind === 'process' ? pathOf(up, 8, 9) : pathOf(up, 21, 2))}
        ${shapes.map(({ kind, spans, marks }) => path(kind, spans.map(([top, height]) => pathOf(marks, top, height)).join('')))}
      </svg>
      ${events.map((event) => sign(event, scale))}
    </svg>
    <span class="note" aria-hidden="true">${note}</span>
  </div>`
}

function path(className: string, data: string): Html | undefined {
  return data === '' ? undefined : html`<path class="${className}" d="${data}" />`
}

function line(scale: Scale, ms: number, className: string): Html {
  const at = scale.percent(ms)
  return html`<line class="${className}" x1="${at}" x2="${at}" y2="100%" />`
}

function sign({ kind, atMs, text }: CellEvent, scale: Scale): Html | undefined {
  const name = SIGNS[kind]
  if (name === undefined) return undefined
  const near = kind === 'start' && atMs / scale.endMs < 0.02
  return html`<svg class="sign ${name}" x="${scale.percent(atMs)}" y="5">
    <g>
      <title>${moment(atMs)} ${cut(text, 60)}</title>
      <use href="#i-${name}" x="${near ? 0 : -7}" width="14" height="14" />
    </g>
  </svg>`
}

/** When the lane's process ran; one whose start was not seen was there from the beginning. */
function lifetimes(events: readonly CellEvent[], endMs: number): readonly CellEvent[] {
  const lives: CellEvent[] = []
  let since: CellEvent | undefined = events.find(({ kind }) => kind !== 'log')
  if (since !== undefined && since.kind !== 'start') since = { ...since, atMs: 0 }
  for (const event of events) {
    if (event.kind === 'end' && since !== undefined) {
      lives.push({ ...since, until: event.atMs })
      since = undefined
    } else if (event.kind === 'start' || event.kind === 'restart') {
      since ??= event
    }
  }
  return since === undefined ? lives : [...lives, { ...since, until: endMs }]
}

/** A lane in a few words. */
function noteOf(lane: Lane, events: readonly CellEvent[]): string {
  const number = (kind: CellEvent['kind']): number =>
    events.filter((one) => one.kind === kind).reduce((sum, { count: times = 1 }) => sum + times, 0)
  const restarts = number('restart')
  const again = restarts > 0 ? [count(restarts, 'restart')] : []
  if (lane.kind === 'process') return [...(number('failure') > 0 ? ['the failure'] : []), ...again, ...ends(events)].join(', ')
  const errors = Map.groupBy(
    events.filter(({ kind }) => kind === 'error'),
    ({ text }) => text,
  )
  const longest = events
    .filter(({ kind }) => kind === 'stall')
    .reduce((most, { atMs, until = atMs }) => Math.max(most, until - atMs), 0)
  return [
    ...(number('right') > 0 ? [`${thousands(number('right'))} right`] : ['no read right']),
    ...(number('wrong') > 0 ? [`${thousands(number('wrong'))} wrong`] : []),
    ...[...errors].map(
      ([errno, those]) => `${thousands(those.reduce((sum, { count: times = 1 }) => sum + times, 0))} ${cut(errno, 40)}`,
    ),
    ...(longest > 0 ? [`one took ${duration(longest)}`] : []),
    ...again,
  ].join(', ')
}

function ends(events: readonly CellEvent[]): string[] {
  const last = events.findLast(({ kind }) => kind === 'start' || kind === 'restart' || kind === 'end')
  return last?.kind === 'end' ? [`ended at ${moment(last.atMs)}`] : []
}

const TOLD: Readonly<Record<CellEvent['kind'], string>> = {
  start: 'starts',
  end: 'ends',
  failure: 'the failure',
  mended: 'mended',
  restart: 'started again',
  right: 'reads right',
  wrong: 'reads wrong data',
  error: 'reads fail',
  stall: 'a read takes long',
  log: 'note',
}

function timelineTable({ events, lanes }: Cell): Html {
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
                <td>${told(run)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${runs.length > MOST_ROWS && html`<p class="small soft">${count(runs.length - MOST_ROWS, 'more row')} in the JSON record.</p>`}`
}

function told({ kind, count: times, text }: Run): string {
  const number = times > 1 ? ` (${count(times, 'time')})` : ''
  return `${TOLD[kind]}${number}${text === '' ? '' : `: ${cut(text, MOST_TEXT)}`}`
}
