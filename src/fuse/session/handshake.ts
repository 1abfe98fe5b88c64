import { INIT, PROTOCOL } from '../protocol/constants.ts'
import { negotiate } from '../protocol/negotiation.ts'
import type { InitReply } from '../protocol/replies.ts'
import type { InitRequest } from '../protocol/requests.ts'
import type { SessionSettings } from './mount-options.ts'
import type { Negotiated } from './negotiated.ts'

/** Pages of the largest request; with 4 KiB pages as much as the reply's buffer takes. */
const MAX_PAGES = 32
const PAGE = 4096
/** Bytes; the kernel's smallest, for what is only read (fs/fuse/inode.c, process_init_reply). */
const MAX_WRITE = 4096
/** Bytes, for what can be written to: as much as fits the request's buffer. */
const LARGE_WRITE = 64 * 1024

/** Bytes that a session's buffers must hold: a request with an extended attribute of the largest size, and a reply of the most pages. */
export const REQUEST_SIZE = 80 * 1024
export const REPLY_SIZE = MAX_PAGES * PAGE + PAGE

/**
 * The INIT flags that every session asks for. Without PARALLEL_DIROPS a second pending lookup in one directory cannot be killed. HAS_RESEND shows
 * whether a successor can ask for lost requests again.
 */
const WANTED =
  INIT.PARALLEL_DIROPS |
  INIT.DO_READDIRPLUS |
  INIT.READDIRPLUS_AUTO |
  INIT.BIG_WRITES |
  INIT.MAX_PAGES |
  INIT.INIT_EXT |
  INIT.HAS_RESEND

/** What is agreed on with the kernel that sent INIT; `initAgain` if it will send another first. Throws UnsupportedKernelError. */
export function agree(request: InitRequest, settings: SessionSettings): Negotiated & { readonly initAgain: boolean } {
  const { minor, flags, initAgain } = negotiate(request, WANTED | settings.initFlags)
  const maxPages = (flags & INIT.MAX_PAGES) === 0n ? 32 : MAX_PAGES
  const maxWrite = settings.writable === undefined ? MAX_WRITE : LARGE_WRITE
  return { minor, flags, maxWrite, maxPages, timeGran: 1, resend: (flags & INIT.HAS_RESEND) !== 0n, initAgain }
}

/** The answer to INIT. */
export function initReply(request: InitRequest, negotiated: Negotiated, settings: SessionSettings): InitReply {
  const { minor, flags, maxWrite, maxPages, timeGran } = negotiated
  const { maxReadahead = request.maxReadahead } = settings
  // Both are 16 bits on the wire, and 0 leaves the kernel its own. As libfuse has it, the threshold is at most the limit, and 3/4 of it by default.
  const maxBackground = Math.min(settings.maxBackground ?? 0, 0xffff)
  const threshold = settings.congestionThreshold ?? Math.floor((maxBackground * 3) / 4)
  const congestionThreshold = Math.min(threshold, maxBackground === 0 ? 0xffff : maxBackground)
  return {
    minor,
    flags,
    maxWrite,
    maxPages,
    timeGran,
    maxReadahead: Math.min(maxReadahead, request.maxReadahead),
    maxBackground,
    congestionThreshold,
  }
}

/** What is presumed of a session whose record is lost: nothing that its answers would depend on. */
export function presumed(): Negotiated {
  return { minor: PROTOCOL.oldestMinor, flags: 0n, maxWrite: MAX_WRITE, maxPages: MAX_PAGES, timeGran: 1, resend: true }
}
