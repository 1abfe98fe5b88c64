import type { Negotiated } from '../fuse/session/negotiated.ts'

/** The version of the record's format that this program writes, and the newest that it reads. */
export const RECORD_VERSION = 1

/** What a session's id looks like. */
export const SESSION_ID = /^[0-9a-f]{16}$/

/** All that a successor must know of a session beside its descriptor. */
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

/** A record as its file has it: JSON, the flags in hexadecimal because they have 64 bits. */
export function encodeRecord(record: SessionRecord): string {
  const { negotiated } = record
  return `${JSON.stringify({ ...record, negotiated: { ...negotiated, flags: `0x${negotiated.flags.toString(16)}` } })}\n`
}

/** Reads a file's text, whatever is in it. */
export function decodeRecord(id: string, text: string): ReadRecord {
  const damaged = (why: string): ReadRecord => ({ kind: 'damaged', id, why })
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return damaged('it is no JSON')
  }
  if (!isObject(json)) return damaged('it is no object')
  const { version, path, options, faults, bootId, connection, negotiated } = json
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 1) return damaged('it has no version')
  if (version > RECORD_VERSION) return { kind: 'newer', id, version }
  if (json.id !== id) return damaged('it names another session')
  if (typeof path !== 'string' || !path.startsWith('/')) return damaged('its path is none')
  if (!isStrings(options) || !isStrings(faults)) return damaged('its options are none')
  if (typeof bootId !== 'string') return damaged('its boot id is none')
  if (!isCount(connection)) return damaged('its connection is none')
  const agreed = decodeNegotiated(negotiated)
  if (agreed === undefined) return damaged('what it says was negotiated is not')
  return { kind: 'record', record: { version: RECORD_VERSION, id, path, options, faults, bootId, connection, negotiated: agreed } }
}

function decodeNegotiated(json: unknown): Negotiated | undefined {
  if (!isObject(json)) return undefined
  const { minor, flags, maxWrite, maxPages, timeGran, resend } = json
  if (!isCount(minor) || !isCount(maxWrite) || !isCount(maxPages) || !isCount(timeGran) || typeof resend !== 'boolean')
    return undefined
  if (typeof flags !== 'string' || !/^0x[0-9a-f]{1,16}$/.test(flags)) return undefined
  return { minor, flags: BigInt(flags), maxWrite, maxPages, timeGran, resend }
}

function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

function isStrings(json: unknown): json is string[] {
  return Array.isArray(json) && json.every((one) => typeof one === 'string')
}

function isCount(json: unknown): json is number {
  return typeof json === 'number' && Number.isSafeInteger(json) && json >= 0
}
