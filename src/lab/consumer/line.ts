import * as v from 'valibot'
import { jsonOrUndefined } from '../../schema.ts'
import { type Acknowledgement, ACKNOWLEDGEMENTS } from './acknowledgements.ts'
import type { RecordRange } from './record-ranges.ts'

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
 * that got the first bytes of the file, or none, and no error; `MISSING` for ENOENT on a FUSE mount, where `ENOENT` is that of another file system.
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

/** A record of this number is in a file, and what was to acknowledge it has returned without an error. `took`: milliseconds, up to `at`. */
interface AcknowledgedLine {
  readonly acknowledged: number
  readonly file: string
  readonly by: Acknowledgement
  readonly at: number
  readonly took: number
}

/** A record was refused with this errno's name. */
interface RefusedLine {
  readonly refused: string
  readonly by: Acknowledgement
  readonly at: number
  readonly took: number
}

/** What was read back of a file of records. */
interface FoundLine {
  readonly file: string
  readonly found: readonly RecordRange[]
}

/** A file of records could not be read back: the errno's name. A file that is missing has no records. */
interface UnreadableLine {
  readonly file: string
  readonly unreadable: string
}

/** What came of one record. */
export type WriteLine = AcknowledgedLine | RefusedLine

export type ConsumerLine = BeganLine | EndedLine | WroteLine | WriteLine | FoundLine | UnreadableLine

const BY = v.picklist(ACKNOWLEDGEMENTS)

const LINE = v.union([
  v.object({ began: v.number() }),
  v.object({ ended: v.number(), saw: v.string() }),
  v.object({ wrote: v.string(), at: v.number() }),
  v.object({ acknowledged: v.number(), file: v.string(), by: BY, at: v.number(), took: v.number() }),
  v.object({ refused: v.string(), by: BY, at: v.number(), took: v.number() }),
  v.object({ file: v.string(), found: v.array(v.tuple([v.number(), v.number()])) }),
  v.object({ file: v.string(), unreadable: v.string() }),
])

/** Reads a line; undefined for one that is none of these. */
export function parseLine(line: string): ConsumerLine | undefined {
  return jsonOrUndefined(LINE, line)
}
