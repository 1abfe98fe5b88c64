import { NOTIFY } from '../fuse/protocol/constants.ts'
import { OUT } from './messages.ts'
import type { NodeTable } from './nodes.ts'

/** Where the node that a notification is about lies, from the message's start, and that of a second one. */
const PLACES: ReadonlyMap<number, readonly number[]> = new Map([
  [NOTIFY.POLL, []],
  [NOTIFY.INC_EPOCH, []],
  [NOTIFY.INVAL_INODE, [OUT.body]],
  [NOTIFY.INVAL_ENTRY, [OUT.body]],
  [NOTIFY.STORE, [OUT.body]],
  [NOTIFY.DELETE, [OUT.body, OUT.body + 8]],
])

/**
 * A daemon's notification as the kernel is to get it, a copy. Undefined for one about a node that the kernel does not know, for RETRIEVE and PRUNE, which ask the
 * kernel for something, and for RESEND, because the relay has the requests itself.
 */
export function translateNotification(message: Buffer, nodes: NodeTable): Buffer | undefined {
  const places = PLACES.get(message.readInt32LE(OUT.error))
  if (places === undefined) return undefined
  const translated = Buffer.from(message)
  for (const at of places) {
    const node = message.length >= at + 8 ? nodes.byDaemonId(message.readBigUInt64LE(at)) : undefined
    if (node === undefined) return undefined
    translated.writeBigUInt64LE(node.id, at)
  }
  return translated
}
