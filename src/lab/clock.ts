/** Milliseconds since a scenario or a cell began, on the monotonic clock, to a tenth. */
export type Clock = () => number

/** A clock that begins now. */
export function startClock(): Clock {
  const start = performance.now()
  return () => Math.round((performance.now() - start) * 10) / 10
}

/** A clock that counts from `startMs` on CLOCK_MONOTONIC, in milliseconds: the same in every process. */
export function clockFrom(startMs: number): Clock {
  return () => Math.round((monotonicMs() - startMs) * 10) / 10
}

/** Now on CLOCK_MONOTONIC, in milliseconds with fractions. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
