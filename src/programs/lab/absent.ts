import type { Absent, LabRecord } from '../../lab/matrix/lab-record.ts'
import { notTried } from '../../lab/matrix/not-tried.ts'

/** Each reason once. */
export function reasonsOf(absent: readonly Absent[]): readonly string[] {
  return [...new Set(absent.map(({ reason }) => reason))]
}

/** A line for each reason, with the failures or the mitigations that have no cell for it: `not tried: daemon-killed, daemon-hung: The file …`. */
export function notTriedLines(record: LabRecord): readonly string[] {
  return notTried(record).map(({ ids, reason }) => `not tried: ${ids.join(', ')}: ${reason}`)
}
