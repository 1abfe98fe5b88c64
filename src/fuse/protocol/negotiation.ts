import { INIT, PROTOCOL } from './constants.ts'
import { UnsupportedKernelError } from './errors.ts'
import type { InitRequest } from './messages/session.ts'

export { UnsupportedKernelError } from './errors.ts'

/** What both sides speak from now on. */
export interface Negotiated {
  readonly minor: number
  readonly flags: bigint
  /** The kernel's major version is newer: after a reply with version 7 it sends another INIT, of version 7. */
  readonly initAgain: boolean
}

const FLAGS2 = ~0n << 32n

/**
 * The lesser of the two minor versions, and those flags of `wanted` that the kernel has too; INIT.INIT_EXT among them where one of the
 * others needs it. Throws UnsupportedKernelError. Rules: "Version negotiation" in include/uapi/linux/fuse.h.
 */
export function negotiate(init: InitRequest, wanted: bigint): Negotiated {
  const { major, minor } = init
  if (major > PROTOCOL.major) return { minor: PROTOCOL.newestMinor, flags: 0n, initAgain: true }
  if (major < PROTOCOL.major || minor < PROTOCOL.oldestMinor) {
    throw new UnsupportedKernelError(major, minor, `${PROTOCOL.major}.${PROTOCOL.oldestMinor} or newer, that is Linux 5.4 or newer`)
  }
  const common = init.flags & wanted
  const flags = (common & FLAGS2) === 0n ? common : common | INIT.INIT_EXT
  return { minor: Math.min(minor, PROTOCOL.newestMinor), flags, initAgain: false }
}
