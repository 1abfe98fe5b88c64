import type { SessionRecord } from '../../src/fused/session-record.ts'

/** The boot that {@link sessionRecord} is of. */
export const BOOT = 'this boot'

/** A session's record of this boot. */
export function sessionRecord(id: string, path: string, connection: number, change: Partial<SessionRecord> = {}): SessionRecord {
  const negotiated = { minor: 45, flags: 1n, maxWrite: 65_536, maxPages: 16, timeGran: 1, resend: true }
  return { version: 1, id, path, options: [], faults: [], bootId: BOOT, connection, negotiated, ...change }
}
