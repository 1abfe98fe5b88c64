import type { Request } from '../../src/fuse/protocol/requests.ts'

/** One request of the kernel's, and what was written to the device for it. */
export interface Exchange {
  readonly op: Request['op']
  /** The request's fields: 64-bit values as hexadecimal texts, bytes as hexadecimal digits. */
  readonly fields: Readonly<Record<string, unknown>>
  /** Hexadecimal digits. */
  readonly request: string
  /** The same; null where nothing was written. */
  readonly reply: string | null
}

/** A session's messages in order, from INIT on. */
export interface Traffic {
  /** `major.minor`. */
  readonly kernel: string
  readonly exchanges: readonly Exchange[]
}

/** The annotation of a request. */
export function annotate(request: Request): Pick<Exchange, 'op' | 'fields'> {
  const { op, ...fields } = request
  return { op, fields: plain(fields) as Record<string, unknown> }
}

/** What JSON can hold, of the same shape. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`
  if (Buffer.isBuffer(value)) return value.toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}
