import type { Absent } from '../../lab/matrix/lab-record.ts'

/** Each reason once. */
export function reasonsOf(absent: readonly Absent[]): readonly string[] {
  return [...new Set(absent.map(({ reason }) => reason))]
}

/** A line for each reason, with the failures that have no cell for it: `not tried: daemon-killed, daemon-hung: The file …`. */
export function notTried(absent: readonly Absent[]): readonly string[] {
  const whole = absent.filter(({ consumer }) => consumer === undefined)
  return reasonsOf(whole).map((reason) => {
    const failures = whole.filter((one) => one.reason === reason).map(({ failure }) => failure)
    return `not tried: ${[...new Set(failures)].join(', ')}: ${reason}`
  })
}
