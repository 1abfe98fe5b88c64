/*
 * What a lab consumer writes to its standard output, one JSON object a line. Times are milliseconds on CLOCK_MONOTONIC with fractions,
 * the same for every process of the machine.
 */

/** Before it opens or reads anything: a round without an end is a read that hangs. */
interface BeganLine {
  readonly began: number
}

/** `saw`: `right`, `wrong`, or the errno's name of the call that failed; `SIGBUS` for a page of a memory map that could not be had. */
interface EndedLine {
  readonly ended: number
  readonly saw: string
}

/** It could make a file beside the one it was to read: on a volume that is read-only, that is the node's own disk. */
interface WroteLine {
  readonly wrote: string
  readonly at: number
}

export type ConsumerLine = BeganLine | EndedLine | WroteLine

/** Reads a line; undefined for one that is none of these. */
export function parseLine(line: string): ConsumerLine | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null) return undefined
    if ('began' in value && typeof value.began === 'number') return { began: value.began }
    if ('ended' in value && typeof value.ended === 'number' && 'saw' in value && typeof value.saw === 'string') {
      return { ended: value.ended, saw: value.saw }
    }
    if ('wrote' in value && typeof value.wrote === 'string' && 'at' in value && typeof value.at === 'number') {
      return { wrote: value.wrote, at: value.at }
    }
    return undefined
  } catch {
    return undefined
  }
}
