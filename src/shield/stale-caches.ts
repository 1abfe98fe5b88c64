import { NOTIFY } from '../fuse/protocol/constants.ts'
import { OUT } from './messages.ts'
import type { Node } from './nodes.ts'

/** The version of FUSE that has FUSE_NOTIFY_INC_EPOCH: 7.44, Linux 6.16. */
const INC_EPOCH_SINCE = 44

/**
 * Notifications that have the kernel forget the names, attributes and contents that it has cached of `nodes`. They are made one by one as they are asked for,
 * because there may be a million nodes. A kernel of a version `minor` without INC_EPOCH is told of each name that there is, and keeps what it knows of names that there are not.
 */
export function* invalidations(minor: number, nodes: Iterable<Node>): Generator<Buffer> {
  if (minor >= INC_EPOCH_SINCE) yield notification(NOTIFY.INC_EPOCH, 0)
  for (const node of nodes) {
    // struct fuse_notify_inval_inode_out: the node, and all of its contents.
    const ofInode = notification(NOTIFY.INVAL_INODE, 24)
    ofInode.writeBigUInt64LE(node.id, OUT.body)
    yield ofInode
    if (minor < INC_EPOCH_SINCE) for (const { parent, name } of node.links) yield ofName(parent.id, name)
  }
}

/** struct fuse_notify_inval_entry_out, and the name (latin1). */
function ofName(parent: bigint, name: string): Buffer {
  const bytes = Buffer.from(`${name}\0`, 'latin1')
  const message = notification(NOTIFY.INVAL_ENTRY, 16 + bytes.length)
  message.writeBigUInt64LE(parent, OUT.body)
  message.writeUInt32LE(bytes.length - 1, OUT.body + 8)
  bytes.copy(message, OUT.body + 16)
  return message
}

function notification(code: number, size: number): Buffer {
  const message = Buffer.alloc(OUT.body + size)
  message.writeUInt32LE(message.length, OUT.length)
  message.writeInt32LE(code, OUT.error)
  return message
}
