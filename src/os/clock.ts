/** The two clocks of a program; both in milliseconds. */
export interface Clock {
  /** Time that passes evenly, from an arbitrary zero (CLOCK_MONOTONIC). For durations within one process. */
  readonly monotonic: () => number
  /** Time since 1970, which an administrator or NTP may set. For times that other machines write and read. */
  readonly wall: () => number
}

export const SYSTEM_CLOCK: Clock = { monotonic: () => performance.now(), wall: () => Date.now() }

/** A wall-clock time as a time of `monotonic`; now for a time that lies ahead. */
export function toMonotonic(clock: Clock, wall: number): number {
  return clock.monotonic() - Math.max(clock.wall() - wall, 0)
}
