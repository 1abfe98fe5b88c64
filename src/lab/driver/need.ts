import type { Cell, OutcomeId } from '../matrix/lab-record.ts'
import { TO_THE_END } from '../matrix/outcomes.ts'

/** Of a process that was there before the failure and reads right again after errors: how long that took is the driver's doing, and not that of a start. */
const CURED: readonly OutcomeId[] = ['recovers', 'writes-to-host-recovers']

/**
 * The cells of a driver whose file does not say how long its cure takes. Milliseconds that it was seen to need, in any cell, from the repair to the first right
 * read of a process, are needed in the others too: what was watched for less is undecided there.
 */
export function undecidedBelowNeed(cells: readonly Cell[]): readonly Cell[] {
  const need = Math.max(0, ...cells.flatMap(curesOf))
  return cells.map((cell) => ({
    ...cell,
    consumers: cell.consumers.map((one) =>
      TO_THE_END.includes(one.seen) && one.watchedMs < need ? { ...one, seen: 'undecided', expected: 'undecided' } : one,
    ),
  }))
}

/** Milliseconds from the repair to the first right read of each process that met errors and then read right. */
export function curesOf({ consumers, failureAtMs, mendedAtMs }: Cell): readonly number[] {
  return consumers.flatMap(({ seen, restarts, firstRightAfterFailureMs }) =>
    CURED.includes(seen) && restarts === 0 && firstRightAfterFailureMs !== null
      ? [failureAtMs + firstRightAfterFailureMs - (mendedAtMs ?? failureAtMs)]
      : [],
  )
}
