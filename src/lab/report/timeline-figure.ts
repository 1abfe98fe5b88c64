import type { Cell, CellEvent, Lane } from '../matrix/lab-record.ts'
import { type Html, html } from './html.ts'
import { type Icon, icon } from './icons.ts'
import { noteOf } from './lane-notes.ts'
import { cut, moment } from './text.ts'
import { LANE_UNITS, marksOf, pathOf, type Scale, scaleTo } from './timeline.ts'
import { timelineTable } from './timeline-table.ts'

/** Where in a lane of 24 units the marks of a kind are: height tells them apart where colour does not. */
const SHAPES = [
  { kind: 'log', spans: [[19, 4]] },
  { kind: 'right', spans: [[12, 9]] },
  { kind: 'stall', spans: [[9, 3]] },
  { kind: 'wrong', spans: [[3, 6], [13, 8]] }, // oxfmt-ignore
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
export function timelineFigure(cell: Cell, name: string, ground: string): Html {
  const end = cell.events.reduce((latest, { atMs, until = atMs }) => Math.max(latest, until), cell.failureAtMs)
  const scale = scaleTo(end)
  const byLane = Map.groupBy(cell.events, ({ lane }) => lane)
  return html`<figure class="timeline" aria-label="Timeline: ${name}">
      <figcaption class="key" aria-hidden="true">
        <span class="k right">read right</span><span class="k error">error</span><span class="k wrong">wrong data</span
        ><span class="k stall">one read that takes long</span><span class="k up">process runs</span><span class="k log">note</span
        ><span>${icon('restart')} started again</span>
      </figcaption>
      <div class="lane axis">
        <span class="lab"></span>
        ${axis(cell, scale, ground)}
        <span class="note"></span>
      </div>
      ${cell.lanes.flatMap((lane) => laneRow(lane, byLane.get(lane.id) ?? [], scale, ground) ?? [])}
    </figure>
    <details class="sub">
      <summary>The timeline as a table</summary>
      ${timelineTable(cell)}
    </details>`
}

/** Times, and what is at the same place in every lane: round times, the failure and all after it, the mending. */
function axis(cell: Cell, scale: Scale, ground: string): Html {
  const { failureAtMs, mendedAtMs } = cell
  return html`<svg class="bar" aria-hidden="true">
    <defs>
      <g id="${ground}">
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

function flag(scale: Scale, ms: number, text: string, className: string, y: number): Html {
  const at = scale.percent(ms)
  const late = ms / scale.endMs > 0.6
  return html`<line class="${className}" x1="${at}" x2="${at}" y1="${y - 10}" y2="52" /><text
      class="${className}"
      x="${at}"
      dx="${late ? -5 : 5}"
      y="${y}"
      text-anchor="${late ? 'end' : 'start'}"
      >${text}</text
    >`
}

function anchor(part: number, low: number, high: number): string {
  if (part < low) return 'start'
  return part > high ? 'end' : 'middle'
}

function laneRow(lane: Lane, events: readonly CellEvent[], scale: Scale, ground: string): Html | undefined {
  if (events.length === 0 && lane.kind === 'process') return undefined
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
      <use href="#${ground}" />
      <svg viewBox="0 0 ${LANE_UNITS} 24" preserveAspectRatio="none">
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
    <title>${cut(text, 60)}</title>
    <use href="#i-${name}" x="${near ? 0 : -7}" width="14" height="14" />
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
