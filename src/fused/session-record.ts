import * as v from 'valibot'
import { messageOf } from '../errors.ts'
import type { Negotiated } from '../fuse/session/negotiated.ts'
import { parseJson } from '../schema.ts'

/** The version of the record's format that this program writes, and the newest that it reads. */
export const RECORD_VERSION = 1

/** What a successor needs of a session besides its descriptor. */
export interface SessionRecord {
  readonly version: 1
  /** Of this record's file, and of the descriptor in the store (FDNAME). */
  readonly id: string
  /** Where it is mounted. */
  readonly path: string
  readonly options: readonly string[]
  readonly faults: readonly string[]
  /** Sessions do not outlive a boot: /proc/sys/kernel/random/boot_id. */
  readonly bootId: string
  /** The kernel's number of the connection. */
  readonly connection: number
  readonly negotiated: Negotiated
}

/** What was found under a record's name. */
export type ReadRecord =
  | { readonly kind: 'record'; readonly record: SessionRecord }
  /** Of a format that only a newer program reads. */
  | { readonly kind: 'newer'; readonly id: string; readonly version: number }
  | { readonly kind: 'damaged'; readonly id: string; readonly why: string }

/** The id of the session that a record is of, whether the record can be read or not. */
export function recordId(read: ReadRecord): string {
  return read.kind === 'record' ? read.record.id : read.id
}

/** A record as its file has it: JSON, the flags in hexadecimal because they have 64 bits. */
export function encodeRecord(record: SessionRecord): string {
  const { negotiated } = record
  return `${JSON.stringify({ ...record, negotiated: { ...negotiated, flags: `0x${negotiated.flags.toString(16)}` } })}\n`
}

const COUNT = v.pipe(v.number(), v.safeInteger('is not a whole number'), v.minValue(0, 'is negative'))

/** What records of every version have. */
const VERSIONED = v.object({ version: v.pipe(v.number(), v.integer('is not a whole number'), v.minValue(1, 'is not positive')) })

const RECORD = v.object({
  version: v.literal(RECORD_VERSION),
  id: v.string(),
  path: v.pipe(v.string(), v.startsWith('/', 'is not an absolute path')),
  options: v.array(v.string()),
  faults: v.array(v.string()),
  bootId: v.string(),
  connection: COUNT,
  negotiated: v.object({
    minor: COUNT,
    flags: v.pipe(
      v.string(),
      v.regex(/^0x[0-9a-f]{1,16}$/, 'is not a hexadecimal number of 64 bits'),
      v.transform((text) => BigInt(text)),
    ),
    maxWrite: COUNT,
    maxPages: COUNT,
    timeGran: COUNT,
    resend: v.boolean(),
  }),
})

/** Reads a file's text, whatever is in it. */
export function decodeRecord(id: string, text: string): ReadRecord {
  try {
    const { version } = parseJson(VERSIONED, text)
    if (version > RECORD_VERSION) return { kind: 'newer', id, version }
    const record = parseJson(RECORD, text)
    if (record.id !== id) throw new Error('it names another session')
    return { kind: 'record', record }
  } catch (error) {
    return { kind: 'damaged', id, why: messageOf(error) }
  }
}
