import { NOTIFY } from './constants.ts'
import { beginReply } from './replies.ts'
import type { Writer } from './writer.ts'

/**
 * FUSE_NOTIFY_RESEND (Linux 6.9): asks the kernel to send all requests again that were read and not answered. A notification is a reply without a
 * request: its unique is 0 and its error is positive (include/uapi/linux/fuse.h, enum fuse_notify_code).
 */
export function encodeResend(writer: Writer): void {
  beginReply(writer, 0n, 0, NOTIFY.RESEND)
}
