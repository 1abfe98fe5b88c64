import { shortened } from '../../printable.ts'
import { type Clock } from '../clock.ts'
import type { CellEvent, Evidence, Lane } from '../matrix/lab-record.ts'
import { type OnLine, ProcessLog } from '../process-log.ts'

/** Characters of a line that the error of a cell shows. */
const LONGEST_WORDS = 300

/** Lines of a log that are kept at its beginning, at its end, and on either side of a moment. */
const MOST = 30

type LogLine = Evidence['logs'][number]

/** Collects what happens in a cell, and to which process. */
export class Timeline {
  readonly #clock: Clock
  readonly #onLine: OnLine
  readonly #events: CellEvent[] = []
  readonly #lanes = new Map<string, Lane>()
  readonly #logs: LogLine[] = []
  readonly #processes = new Map<string, number>()

  /** `onLine`: called with each line of a log as it arrives, and the name of its log. */
  constructor(clock: Clock, onLine: OnLine = () => undefined) {
    this.#clock = clock
    this.#onLine = onLine
  }

  /** Opens a lane; the first title and process stay. */
  lane(id: string, kind: Lane['kind'], title: string, pid?: number): void {
    const known = this.#lanes.get(id)
    if (known === undefined) this.#lanes.set(id, { id, kind, title, ...(pid === undefined ? {} : { pid }) })
    else if (known.pid === undefined && pid !== undefined) this.#lanes.set(id, { ...known, pid })
  }

  /** Notes something that happens now, and returns when. */
  note(lane: string, kind: CellEvent['kind'], text: string): number {
    const atMs = this.#clock()
    this.#events.push({ atMs, lane, kind, text })
    return atMs
  }

  /** The log of the lane's next process. Its name has the number of the process: `plugin-1`, `plugin-2`. */
  newLog(lane: string): ProcessLog {
    const number = (this.#processes.get(lane) ?? 0) + 1
    this.#processes.set(lane, number)
    return new ProcessLog(`${lane}-${number}`, this.#clock, (name, { atMs, line }) => {
      this.log(lane, atMs, line, name)
    })
  }

  /** A line of the log that has this name. */
  log(lane: string, atMs: number, text: string, name = lane): void {
    this.#logs.push({ lane, atMs, text })
    this.#onLine(name, { atMs, line: text })
  }

  /** A line that was found just now. */
  logNow(lane: string, text: string): void {
    this.log(lane, this.#clock(), text)
  }

  /** What has happened on one lane so far. */
  eventsOf(lane: string): readonly CellEvent[] {
    return this.#events.filter((event) => event.lane === lane)
  }

  /** In the order of their times, with those of the consumers' reads. */
  events(more: readonly CellEvent[]): readonly CellEvent[] {
    return [...this.#events, ...more].sort((a, b) => a.atMs - b.atMs)
  }

  /** Processes first. */
  lanes(): readonly Lane[] {
    const all = [...this.#lanes.values()]
    return [...all.filter(({ kind }) => kind === 'process'), ...all.filter(({ kind }) => kind === 'consumer')]
  }

  /** The last lines of the logs, for the error of a cell that has no record; empty without any. */
  lastWords(): string {
    const lines = this.logs().filter(({ text }) => !text.includes('GRPC'))
    const last = lines.slice(-6).map(({ lane, text }) => `${lane}: ${shortened(text, LONGEST_WORDS)}`)
    return last.length === 0 ? '' : `; last words: ${last.join(' | ')}`
  }

  /**
   * Of each lane the first and the last lines, and those around some moments, on the cell's clock: {@link MOST} before and after each. Where lines are left
   * out, a line says how many.
   */
  logs(moments: readonly number[] = []): readonly LogLine[] {
    const byLane = Map.groupBy(this.#logs, ({ lane }) => lane)
    return [...byLane.values()].flatMap((all) => shortenedLog(all, moments)).sort((a, b) => a.atMs - b.atMs)
  }
}

function shortenedLog(all: readonly LogLine[], moments: readonly number[]): readonly LogLine[] {
  const places = [0, ...moments.map((moment) => all.filter(({ atMs }) => atMs < moment).length), all.length]
  const isKept = (index: number): boolean => places.some((place) => index >= place - MOST && index < place + MOST)
  const lines: LogLine[] = []
  let left = 0
  for (const [index, line] of all.entries()) {
    if (isKept(index)) lines.push(line)
    else {
      left++
      if (isKept(index + 1)) {
        lines.push({ lane: line.lane, atMs: line.atMs, text: `[${left} ${left === 1 ? 'line is' : 'lines are'} left out here]` })
        left = 0
      }
    }
  }
  return lines
}
