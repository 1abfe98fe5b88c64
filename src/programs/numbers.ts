/** setTimeout takes 31 bits of milliseconds. */
const MOST_SECONDS = 2_000_000

/** A number of seconds, fractions allowed, from `minimum` to `maximum`. Throws RangeError that says what it must be. */
export function parseSeconds(value: string, minimum = 0, maximum = MOST_SECONDS): number {
  const number = /^\d+(\.\d+)?$/.test(value) ? Number(value) : NaN
  if (!(number >= minimum && number <= maximum)) throw new RangeError(`It is a number of seconds from ${minimum} to ${maximum}.`)
  return number
}
