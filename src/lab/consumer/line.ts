import * as v from 'valibot'
import { jsonOrUndefined } from '../../schema.ts'

/*
 * What a lab consumer writes to its standard output, one JSON object a line. Times are milliseconds on CLOCK_MONOTONIC with fractions,
 * the same for every process of the machine.
 */

/** Before it opens or reads anything: a round without an end is a read that hangs. */
interface BeganLine {
  readonly began: number
}

/**
 * `saw`: `right`, `wrong`, or the errno's name of the call that failed; `SIGBUS` for a page of a memory map that could not be had, `SHORT` for a read
 * that got the first bytes of the file, or none, and no error.
 */
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

const LINE = v.union([
  v.object({ began: v.number() }),
  v.object({ ended: v.number(), saw: v.string() }),
  v.object({ wrote: v.string(), at: v.number() }),
])

/** Reads a line; undefined for one that is none of these. */
export function parseLine(line: string): ConsumerLine | undefined {
  return jsonOrUndefined(LINE, line)
}
