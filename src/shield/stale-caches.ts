import { NOTIFY } from '../fuse/protocol/constants.ts'
import { OUT } from './messages.ts'
import type { Node } from './nodes.ts'

/** The version of FUSE that has FUSE_NOTIFY_INC_EPOCH: 7.44, Linux 6.16. */
const INC_EPOCH_SINCE = 44

/** Offsets of INVAL_INODE: all contents of the file, or none, which leaves its attributes. */
const ALL = 0n
const NONE = -1n

/**
 * Notifications that have the kernel forget the names, attributes and contents that it has cached of `nodes`. They are made one by one as they are asked for,
 * because there may be a million nodes. A kernel of a version `minor` without INC_EPOCH is told of each name that there is, and keeps what it knows of names that there are not.
 * It keeps the contents of nodes for which `keeps` returns true.
 */
export function* invalidations(minor: number, nodes: Iterable<Node>, keeps: (node: Node) => boolean): Generator<Buffer> {
  if (minor >= INC_EPOCH_SINCE) yield notification(NOTIFY.INC_EPOCH, 0)
  for (const node of nodes) {
    yield ofInode(node.id, keeps(node) ? NONE : ALL)
    if (minor < INC_EPOCH_SINCE) for (const { parent, name } of node.links) yield ofName(parent.id, name)
  }
}

/** A notification that has the kernel forget the attributes and the contents of a node. */
export function invalidation(node: bigint): Buffer {
  return ofInode(node, ALL)
}

/** struct fuse_notify_inval_inode_out: the node, where its contents begin that are to be forgotten, and their length; 0 to the end. */
function ofInode(node: bigint, offset: bigint): Buffer {
  const message = notification(NOTIFY.INVAL_INODE, 24)
  message.writeBigUInt64LE(node, OUT.body)
  message.writeBigInt64LE(offset, OUT.body + 8)
  return message
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
