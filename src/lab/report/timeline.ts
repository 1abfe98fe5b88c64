import type { CellEvent } from '../matrix/lab-record.ts'

/** Width of a lane in its own units; a lane is stretched to whatever room there is. */
export const LANE_UNITS = 1000

/** Narrowest mark, in lane units: a single read can be seen on a phone too. */
const NARROWEST = 3

/** Marks closer than this, in lane units, become one. */
const TOUCHING = 1

/** From, to: lane units. */
export type Mark = readonly [from: number, to: number]

/** Time as the axis of one cell shows it. `at` maps milliseconds to lane units, `percent` to a hundredth of a percent. */
export interface Scale {
  readonly endMs: number
  at(ms: number): number
  percent(ms: number): string
  readonly ticks: readonly { readonly ms: number; readonly label: string }[]
}

/** The scale from the cell's start to `endMs`, with three to seven ticks at round times. */
export function scaleTo(endMs: number): Scale {
  const end = Math.max(endMs, 1)
  const step = roundStep(end / 6)
  const seconds = step >= 1000 || end >= 2000
  const digits = Math.max(0, -Math.floor(Math.log10(step / 1000) + 1e-9))
  const ticks = Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => {
    const ms = index * step
    const number = seconds ? (ms / 1000).toFixed(digits) : String(Number(ms.toPrecision(6)))
    return { ms, label: ms === 0 ? '0' : `${number} ${seconds ? 's' : 'ms'}` }
  })
  const within = (ms: number): number => Math.min(Math.max(ms / end, 0), 1)
  return {
    endMs: end,
    at: (ms) => Math.round(within(ms) * LANE_UNITS),
    percent: (ms) => `${Number((within(ms) * 100).toFixed(2))}%`,
    ticks,
  }
}

function roundStep(least: number): number {
  const ten = 10 ** Math.floor(Math.log10(least))
  return ([1, 2, 5, 10].find((times) => times * ten >= least) ?? 10) * ten
}

/**
 * What a lane's events of one kind, in the order of time, look like: events that touch are one mark, so that a hundred thousand reads are at most a few
 * hundred marks.
 */
export function marksOf(events: readonly CellEvent[], scale: Scale): readonly Mark[] {
  const marks: [number, number][] = []
  for (const { atMs, until = atMs } of events) {
    const from = Math.min(scale.at(atMs), LANE_UNITS - NARROWEST)
    const to = Math.max(scale.at(until), from + NARROWEST)
    const last = marks.at(-1)
    if (last !== undefined && from <= last[1] + TOUCHING) last[1] = Math.max(last[1], to)
    else marks.push([from, to])
  }
  return marks
}

/** The data of an SVG path that fills the marks from `top` to `top + height`. */
export function pathOf(marks: readonly Mark[], top: number, height: number): string {
  return marks.map(([from, to]) => `M${from} ${top}h${to - from}v${height}h${from - to}z`).join('')
}

/** Consecutive events of one lane and one kind. */
export interface Run {
  readonly lane: string
  readonly kind: CellEvent['kind']
  readonly fromMs: number
  readonly toMs: number
  readonly count: number
  /** What the first of them says. */
  readonly text: string
}

/** The timeline in words: what each lane did from when to when. Takes the events and gives the runs in the order of time. */
export function runsOf(events: readonly CellEvent[]): readonly Run[] {
  const runs: Run[] = []
  const present = new Map<string, number>()
  for (const { atMs, until = atMs, lane, kind, text, count = 1 } of events) {
    const index = present.get(lane)
    const last = index === undefined ? undefined : runs[index]
    if (index !== undefined && last?.kind === kind && (REPEATED.has(kind) || last.text === text)) {
      runs[index] = { ...last, toMs: Math.max(last.toMs, until), count: last.count + count }
    } else {
      present.set(lane, runs.length)
      runs.push({ lane, kind, fromMs: atMs, toMs: until, count, text })
    }
  }
  return runs
}

const REPEATED: ReadonlySet<CellEvent['kind']> = new Set(['right', 'wrong', 'error', 'stall'])
