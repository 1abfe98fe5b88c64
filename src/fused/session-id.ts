import { randomHex } from '../os/random.ts'

/** What a session's id looks like. It is the name under which the fd store and the standby hold the session's descriptor (FDNAME). */
export const SESSION_ID = /^[0-9a-f]{16}$/

/** A new id. Short, because systemd passes all names in one variable; without a colon, which separates them there. */
export function newSessionId(): string {
  return randomHex(8)
}
