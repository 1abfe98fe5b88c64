import type { Absent, Cell } from './lab-record.ts'

/** A reason for which something has no cell. */
export interface NotTried {
  /** Which side of the matrix is missing: failures as a whole, or mitigations against failures that have other cells. */
  readonly side: 'failures' | 'mitigations'
  readonly ids: readonly string[]
  readonly reason: string
}

/** Each reason for which whole cells are absent, once. */
export function notTried({
  absent,
  cells,
}: {
  readonly absent: readonly Absent[]
  readonly cells: readonly Pick<Cell, 'failure'>[]
}): readonly NotTried[] {
  const whole = absent.filter(({ consumer }) => consumer === undefined)
  return [...Map.groupBy(whole, ({ reason }) => reason)].map(([reason, those]) => {
    const others = those.every(({ failure }) => cells.some((cell) => cell.failure === failure))
    const ids = new Set(those.map(({ failure, mitigation }) => (others ? mitigation : failure)))
    return { side: others ? 'mitigations' : 'failures', ids: [...ids], reason }
  })
}
