import type { Cell } from '../matrix/lab-record.ts'

/** What the matrix points to: within the cell's details, so that a browser opens them without a script. */
export function cellId({ failure, mitigation }: Pick<Cell, 'failure' | 'mitigation'>): string {
  return `c-${failure}--${mitigation}`
}

export function absentId(failure: string, mitigation: string): string {
  return `x-${failure}--${mitigation}`
}
