import type { Read } from '../cell/read-log.ts'
import type { OutcomeId } from './lab-record.ts'

/** Reads at the end that must be right for a consumer to count as well. */
export const ENOUGH = 5

/** What there is to know about a consumer at the end. */
export interface Seen {
  /** Since the failure, in order, the hanging one included. */
  readonly reads: readonly Read[]
  /** Whether a process of its own is there at the end. */
  readonly running: boolean
  /** Whether it was ever started. */
  readonly started: boolean
  /** Whether an attempt to start it for the first time failed. */
  readonly failedToStart: boolean
  /** How often a process of its own took the place of another. */
  readonly restarts: number
  /** A read that takes this long has waited, in milliseconds: far above what a busy node adds, far below any failure's length. */
  readonly longRead: number
}

/** What came of a consumer (lab-record.ts, OutcomeId). */
export function classify({ reads, running, started, failedToStart, restarts, longRead }: Seen): OutcomeId {
  if (!started) return 'never-starts'
  const last = reads.at(-1)
  if (last === undefined) return 'errors'
  if (last.endedMs === undefined) return 'hangs'
  const astray = ({ saw }: Read): boolean => saw === 'ENOENT' || saw === 'wrong'
  const well = running && reads.length >= ENOUGH && reads.slice(-ENOUGH).every(({ saw }) => saw === 'right')
  if (!well) return astray(last) ? 'writes-to-host' : 'errors'
  if (reads.some(astray)) return 'writes-to-host-recovers'
  if (restarts > 0) return 'restarted'
  if (reads.some(({ saw }) => saw !== 'right')) return 'recovers'
  if (failedToStart) return 'starts-late'
  return reads.some(({ beganMs, endedMs }) => (endedMs ?? Infinity) - beganMs >= longRead) ? 'waits' : 'works'
}
