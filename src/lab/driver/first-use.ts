import { firstUse } from '../failures/first-use.ts'
import { type ConsumerSpec, DRIVER_CONSUMERS } from '../matrix/consumers.ts'
import type { Absent, Cell, ConsumerResult } from '../matrix/lab-record.ts'
import { LOSING, TO_THE_END } from '../matrix/outcomes.ts'
import type { PlannedCell } from '../matrix/plan.ts'
import type { Mitigation } from '../mitigations.ts'

/** A plan of cells, and what is absent from it. */
interface Plan {
  readonly cells: readonly PlannedCell[]
  readonly absent: readonly Absent[]
}

/** Why a consumer takes no part in a cell. */
const REASON = 'It does not read right from the beginning without any failure: see the first use.'

/** Outcomes of a consumer that met errors, or the node's own disk, and then read right. */
const LATE = ['recovers', 'restarted', 'writes-to-host-recovers']

/** The cell without a failure before the cells of a plan: with their first mitigation, and each consumer of it. Undefined if there are none. */
export function planFirstUse(cells: readonly PlannedCell[]): PlannedCell | undefined {
  const [first] = cells
  if (first === undefined) return undefined
  const { mitigation } = first
  const alike = cells.filter((cell) => cell.mitigation.id === mitigation.id)
  const ids = DRIVER_CONSUMERS.map(({ id }) => id).filter((id) => alike.some(({ consumers }) => Object.hasOwn(consumers, id)))
  return { failure: firstUse, mitigation, consumers: Object.fromEntries(ids.map((id) => [id, null])) }
}

/**
 * The plan without the consumers of which a failure would show nothing, because they did badly without one. One that a mitigation lets live in another way
 * stays: that may be its cure.
 */
export function withoutUnready({ cells, absent }: Plan, planned: PlannedCell, seen: Cell): Plan {
  const left: Absent[] = []
  const kept = cells.flatMap((cell): readonly PlannedCell[] => {
    const consumers = Object.entries(cell.consumers).filter(([id]) => !isUnready(id, cell.mitigation, planned.mitigation, seen))
    const missing = Object.keys(cell.consumers).filter((id) => !consumers.some(([one]) => one === id))
    const where = { failure: cell.failure.id, mitigation: cell.mitigation.id }
    if (consumers.length === 0) left.push({ ...where, reason: REASON })
    else left.push(...missing.map((consumer) => ({ ...where, consumer, reason: REASON })))
    return consumers.length === 0 ? [] : [{ ...cell, consumers: Object.fromEntries(consumers) }]
  })
  return { cells: kept, absent: [...absent, ...left] }
}

function isUnready(id: string, mitigation: Mitigation, first: Mitigation, { consumers }: Cell): boolean {
  const result = consumers.find(({ consumer }) => consumer === id)
  const kind = DRIVER_CONSUMERS.find((one) => one.id === id)
  if (result === undefined || kind === undefined) return false
  // One that starts later starts badly again, and the failure would be blamed for it.
  if (kind.starts !== 'before') return isBad(result) || LATE.includes(result.seen)
  return isBad(result) && livesAlike(kind, mitigation, first)
}

function isBad({ seen }: ConsumerResult): boolean {
  return seen === 'undecided' || TO_THE_END.includes(seen) || LOSING.includes(seen)
}

function livesAlike(kind: ConsumerSpec, one: Mitigation, other: Mitigation): boolean {
  const [a, b] = [one, other].map(({ consumer }) => consumer?.(kind) ?? kind)
  return a?.place === b?.place && a?.exitsOnError === b?.exitsOnError && a?.way === b?.way
}
