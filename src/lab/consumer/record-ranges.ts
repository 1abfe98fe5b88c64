/** Records of a file that follow each other: the first and the last number. */
export type RecordRange = readonly [first: number, last: number]

/** Those of the records from 0 to `count - 1` that are in none of the ranges. */
export function missingFrom(ranges: readonly RecordRange[], count: number): readonly number[] {
  const isIn = (number: number): boolean => ranges.some(([first, last]) => first <= number && number <= last)
  return Array.from({ length: count }, (_, number) => number).filter((number) => !isIn(number))
}
