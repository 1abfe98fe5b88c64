import type { Cell, OutcomeId } from '../matrix/lab-record.ts'
import { TO_THE_END } from '../matrix/outcomes.ts'
import type { PlannedCell } from '../matrix/plan.ts'
import { LONGEST_WATCH } from './schema.ts'
import type { DriverSeen } from './seen.ts'
import type { DriverSpec } from './spec.ts'

/**
 * Of a process that was there before the failure and reads right again after errors or a wait: how long that took is the driver's doing, and not that of a
 * start.
 */
const CURED: readonly OutcomeId[] = ['waits', 'recovers', 'writes-to-host-recovers']

/** Milliseconds for which the cells are watched that show how long a cure takes. */
const CURE = 45_000

/** A cure takes longer on one occasion than on another. */
const MARGIN = 2

/** What is struck, and the failures that show whether a driver cures it by itself, the most telling first. */
const CURABLE: readonly (readonly string[])[] = [
  ['daemon-killed', 'connection-aborted', 'plugin-killed', 'plugin-upgraded', 'machine-crash'],
  ['target-unmounted', 'staging-unmounted'],
  ['holder-killed'],
  ['helper-killed'],
  ['storage-down', 'storage-hung'],
  ['all-pods-replaced', 'pod-replaced'],
]

/**
 * Of the cells of a driver whose file does not say how long a cure takes, those that are to show it before the others run: with the first mitigation, one
 * failure of each thing that can be struck.
 */
export function cureTrial(cells: readonly PlannedCell[]): readonly PlannedCell[] {
  const alike = cells.filter(({ mitigation }) => mitigation.id === cells[0]?.mitigation.id)
  return CURABLE.flatMap((ids) => ids.flatMap((id) => alike.filter(({ failure }) => failure.id === id)).slice(0, 1))
}

/** The driver, watched for as long as a cure may take that nobody has seen. */
export function watchedForCure(driver: DriverSpec): DriverSpec {
  return { ...driver, watch: Math.max(driver.watch, CURE) }
}

/**
 * The driver, watched for as long as it was seen to need: the time that staging and publishing took in its trial, and twice the time after which consumers
 * read right again in cells that have run. What the file says counts alone.
 */
export function watchedForItsNeed(
  driver: DriverSpec,
  shown: Pick<DriverSeen, 'steps'> | undefined,
  seen: readonly Cell[],
): DriverSpec {
  if (driver.watchIsGiven) return driver
  const mounts = shown?.steps.filter(({ name }) => name === 'NodeStageVolume' || name === 'NodePublishVolume') ?? []
  const mountMs = mounts.reduce((sum, { tookMs }) => sum + tookMs, 0)
  const cures = seen.flatMap(curesOf).map((cure) => MARGIN * cure)
  return { ...driver, watch: Math.min(LONGEST_WATCH * 1000, Math.ceil(Math.max(driver.watch, mountMs, ...cures))) }
}

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

/** Milliseconds from the repair to the first right read of each process that met errors, or waited, and then read right. */
function curesOf({ consumers, failureAtMs, mendedAtMs }: Cell): readonly number[] {
  return consumers.flatMap(({ seen, restarts, firstRightAfterFailureMs }) =>
    CURED.includes(seen) && restarts === 0 && firstRightAfterFailureMs !== null
      ? [failureAtMs + firstRightAfterFailureMs - (mendedAtMs ?? failureAtMs)]
      : [],
  )
}
