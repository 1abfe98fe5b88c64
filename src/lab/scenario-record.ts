/** One thing that a scenario shows, in the order in which it is to be read. `atMs`: milliseconds since the scenario began. */
export type Step =
  | { readonly kind: 'say'; readonly atMs: number; readonly text: string }
  | {
      readonly kind: 'command'
      readonly atMs: number
      /** `node`, or the pod's name. */
      readonly where: string
      readonly command: string
      /** Both streams, in the order of their lines. */
      readonly output: string
      readonly status: number
    }
  | { readonly kind: 'log'; readonly atMs: number; readonly of: string; readonly lines: readonly string[] }

/** A line that a process wrote, on the monotonic clock of its scenario. */
export interface LogLine {
  readonly atMs: number
  readonly line: string
}

/** One claim of the model, and what came of it. */
export interface Check {
  readonly name: string
  readonly expected: string
  readonly seen: string
  readonly passed: boolean
}

/**
 * How a scenario came out: `as expected`, every check passed; `not as expected`, at least one did not; `broken off`, it did not get
 * to its end, so that nothing is known.
 */
export type Outcome = 'as expected' | 'not as expected' | 'broken off'

/** All that was seen of one scenario. */
export interface ScenarioRecord {
  readonly name: string
  readonly summary: string
  readonly outcome: Outcome
  /** Why it was broken off. */
  readonly reason?: string
  readonly durationMs: number
  readonly checks: readonly Check[]
  readonly transcript: readonly Step[]
  /** By process: `plugin-1`, `plugin-2` after its restart, and the pods by their names. */
  readonly logs: Readonly<Record<string, readonly LogLine[]>>
}

/** The outcome that checks alone make. */
export function outcomeOf(checks: readonly Check[]): Outcome {
  return checks.length > 0 && checks.every(({ passed }) => passed) ? 'as expected' : 'not as expected'
}
