/** Records of a file that follow each other: the first and the last number. */
export type RecordRange = readonly [first: number, last: number]

/** How many of the records from 0 to `count - 1` are in none of the ranges, which are in order and do not overlap. */
export function missingFrom(ranges: readonly RecordRange[], count: number): number {
  return ranges.reduce((missing, [first, last]) => missing - Math.max(0, Math.min(last, count - 1) - first + 1), count)
}
