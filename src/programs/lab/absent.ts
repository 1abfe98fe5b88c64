import { WRITER } from '../../lab/matrix/consumers.ts'
import type { Absent, LabRecord } from '../../lab/matrix/lab-record.ts'
import { notTried } from '../../lab/matrix/not-tried.ts'

/** Each reason once. */
export function reasonsOf(absent: readonly Absent[]): readonly string[] {
  return [...new Set(absent.map(({ reason }) => reason))]
}

/**
 * A line for each reason, with the failures or the mitigations that have no cell for it: `not tried: daemon-killed, daemon-hung: The file …`; and the same of
 * the consumer that writes.
 */
export function notTriedLines(record: LabRecord): readonly string[] {
  const unwritten = Map.groupBy(
    record.absent.filter(({ consumer }) => consumer === WRITER.id),
    ({ reason }) => reason,
  )
  return [
    ...notTried(record).map(({ ids, reason }) => `not tried: ${ids.join(', ')}: ${reason}`),
    ...[...unwritten].map(([reason, those]) => {
      const ids = new Set(those.map(({ failure }) => failure))
      return `not tried: ${WRITER.id} in ${[...ids].join(', ')}: ${reason}`
    }),
  ]
}
