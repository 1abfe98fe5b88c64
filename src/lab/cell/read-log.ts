import type { Found } from '../consumer/record-files.ts'
import type { CellEvent, Reads } from '../matrix/lab-record.ts'
import { WriteLog } from './write-log.ts'

/** One read of a consumer. Times on the cell's clock. */
export interface Read {
  readonly beganMs: number
  /** `undefined` as long as it has not come back. */
  readonly endedMs: number | undefined
  /** `right`, `wrong`, or the errno's name; empty as long as it has not come back. */
  readonly saw: string
}

/** A read that takes longer than this is worth showing, in milliseconds. */
const STALL = 50

/** A read that has been under way for so long at the end hangs, in milliseconds. */
const HANGS = 1000

/** Every read of one consumer, over its restarts. A reader's program says how it is filled (reader-programs.ts). */
export class ReadLog {
  /** What the same consumer wrote. */
  readonly writes = new WriteLog()
  /** By the name of a file of records, what was last read back. */
  readonly found = new Map<string, Found>()
  readonly #reads: Read[] = []
  #open: number | undefined
  #wrote: { atMs: number; path: string } | undefined
  readonly #hangs: number

  /** `hangs`: milliseconds for which a read must have been under way to be counted as one that does not come back. */
  constructor(hangs = HANGS) {
    this.#hangs = hangs
  }

  /** A read begins. */
  begin(atMs: number): void {
    this.#open = atMs
  }

  /** The read that is under way comes back. `saw`: `right`, `wrong`, or the errno's name. */
  end(atMs: number, saw: string): void {
    this.#reads.push({ beganMs: this.#open ?? atMs, endedMs: atMs, saw })
    this.#open = undefined
  }

  /** A file could be made in the volume's place. */
  write(atMs: number, path: string): void {
    this.#wrote = { atMs, path }
  }

  /** Its process is gone: the read that was under way does not come back. */
  processEnded(): void {
    this.#open = undefined
  }

  /** In order; the last one may be under way, if it has been for a second (HUNG in lab-record.ts). */
  reads(nowMs: number): readonly Read[] {
    const hanging = this.#open !== undefined && nowMs - this.#open > this.#hangs
    return hanging ? [...this.#reads, { beganMs: this.#open ?? 0, endedMs: undefined, saw: '' }] : this.#reads
  }

  /** The reads that have come back since then, in order. */
  ended(sinceMs: number): readonly Read[] {
    const first = this.#reads.findLastIndex(({ beganMs }) => beganMs < sinceMs)
    return this.#reads.slice(first + 1)
  }

  /** When the last right read came back; undefined if none did. */
  get lastRight(): number | undefined {
    return this.#reads.findLast(({ saw }) => saw === 'right')?.endedMs
  }

  /** When the last read came back that was not right; undefined if none was. */
  get lastWrong(): number | undefined {
    return this.#reads.findLast(({ saw }) => saw !== 'right')?.endedMs
  }

  /** Since when a read is under way, if one is. */
  get underWay(): number | undefined {
    return this.#open
  }

  /** When and where it last made a file of its own in the volume's place. */
  get wrote(): { readonly atMs: number; readonly path: string } | undefined {
    return this.#wrote
  }
}

/** Whether a read has taken so long that it is worth showing. */
function stalled({ beganMs, endedMs }: Read, nowMs: number): boolean {
  return (endedMs ?? nowMs) - beganMs > STALL
}

/**
 * The first right read after the last one since the failure that was not right; where none was, the first that took long, or after it; where no read did
 * badly, the first that began after the failure. Undefined if there was none: a right read after which others fail is no cure.
 */
export function rightAgain(reads: readonly Read[], failureAtMs: number, nowMs: number): Read | undefined {
  // A read that was under way may wait for a moment and still be right, before the others fail.
  const since = reads.filter(({ endedMs }) => (endedMs ?? Infinity) >= failureAtMs)
  const hurt = since.findLast(({ saw }) => saw !== 'right') ?? since.find((read) => stalled(read, nowMs))
  return reads.find(({ beganMs, saw }) => beganMs >= (hurt?.beganMs ?? failureAtMs) && saw === 'right')
}

/** Reads that came to the same one after another, as one event each, and each stall as one. */
export function eventsOf(lane: string, reads: readonly Read[], nowMs: number): readonly CellEvent[] {
  const events: (CellEvent & { until: number; count: number })[] = []
  const stalls: CellEvent[] = []
  for (const read of reads) {
    const { beganMs, endedMs, saw } = read
    const until = endedMs ?? nowMs
    if (stalled(read, nowMs)) {
      stalls.push({
        atMs: beganMs,
        lane,
        kind: 'stall',
        text: endedMs === undefined ? 'a read that has not come back' : 'a read that waited',
        until,
      })
    }
    if (endedMs === undefined) continue
    const kind = saw === 'right' || saw === 'wrong' ? saw : 'error'
    const last = events.at(-1)
    if (last?.kind === kind && last.text === saw) {
      events[events.length - 1] = { ...last, until, count: last.count + 1 }
    } else events.push({ atMs: beganMs, lane, kind, text: saw, until, count: 1 })
  }
  return [...events, ...stalls]
}

/** How many were right, wrong, or failed with which errno. */
export function countReads(reads: readonly Read[]): Reads {
  const failed: Record<string, number> = {}
  let right = 0
  let wrong = 0
  for (const { endedMs, saw } of reads) {
    if (saw === 'right') right++
    else if (saw === 'wrong') wrong++
    else {
      const name = endedMs === undefined ? 'HUNG' : saw
      failed[name] = (failed[name] ?? 0) + 1
    }
  }
  return { right, wrong, failed }
}
