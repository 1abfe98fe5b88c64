/** Milliseconds since a scenario began, on the monotonic clock, to a tenth. */
export type Clock = () => number

/** A clock that begins now. */
export function startClock(): Clock {
  const start = performance.now()
  return () => Math.round((performance.now() - start) * 10) / 10
}
