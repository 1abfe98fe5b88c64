import { SeededRandom } from '../seeded-random.ts'
import type { Cell } from './lab-record.ts'
import type { PlannedCell } from './plan.ts'

/** How cells are carried out. */
export interface CellOptions {
  /** Carries one cell out; rejects for none. */
  readonly carryOut: (cell: PlannedCell, signal: AbortSignal) => Promise<Cell>
  /** How many at once. */
  readonly jobs: number
  /** Of the order in which they run. */
  readonly seed: number
}

/** Follows the cells as they run. */
export interface CellObserver {
  begin(cell: PlannedCell): void
  end(cell: Cell): void
}

/** Carries cells out, several at once. The result is in the order of `cells`, without those that `signal` kept from beginning. */
export async function runCells(
  cells: readonly PlannedCell[],
  options: CellOptions,
  observer: CellObserver,
  signal: AbortSignal,
): Promise<readonly Cell[]> {
  const done = new Map<PlannedCell, Cell>()
  const queue = shuffled(cells, options.seed).values()
  const worker = async (): Promise<void> => {
    for (const planned of queue) {
      if (signal.aborted) return
      observer.begin(planned)
      const cell = await options.carryOut(planned, signal)
      done.set(planned, cell)
      observer.end(cell)
    }
  }
  await Promise.all(Array.from({ length: options.jobs }, worker))
  return cells.flatMap((planned) => done.get(planned) ?? [])
}

/** A cell of which nothing is known. */
export function notRun({ failure, mitigation }: PlannedCell, why: string, startedAt: string, tookMs: number): Cell {
  const nothing = { mountsBefore: [], mountsAfter: [], holdersBefore: [], holdersAfter: [], disk: [] }
  return {
    failure: failure.id,
    mitigation: mitigation.id,
    verdict: 'not-run',
    why,
    startedAt,
    tookMs,
    failureAtMs: 0,
    mendedAtMs: null,
    consumers: [],
    events: [],
    lanes: [],
    evidence: { logs: [], ...nothing },
  }
}

/** Fisher and Yates' shuffle, in which a seed determines the order. */
function shuffled<T>(all: readonly T[], seed: number): readonly T[] {
  const mixed = [...all]
  const random = new SeededRandom(seed)
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = random.between(0, last)
    ;[mixed[last], mixed[other]] = [mixed[other] as T, mixed[last] as T]
  }
  return mixed
}
