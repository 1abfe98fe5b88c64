import { constants } from 'node:fs'
import { IN_HEADER_SIZE, OPCODE, OUT_HEADER_SIZE } from '../fuse/protocol/constants.ts'

/** Where the fields of messages lie that the relay changes, in bytes from the message's start (include/uapi/linux/fuse.h). */
export const IN = { length: 0, opcode: 4, unique: 8, nodeid: 16, uid: 24, gid: 28, pid: 32, body: IN_HEADER_SIZE } as const
export const OUT = { length: 0, error: 4, unique: 8, body: OUT_HEADER_SIZE } as const

/** struct fuse_entry_out and struct fuse_attr in it, from the struct's start. */
export const ENTRY = { nodeid: 0, generation: 8, ino: 40, mode: 100, size: 128 } as const
/** Bytes of struct fuse_open_out. */
export const OPEN_SIZE = 16
/** struct fuse_attr_out, and struct fuse_statx_out: bytes from the body's start, and how many there have to be. */
export const ATTR = { ino: 16, nlink: 80, size: 104 } as const
export const STATX = { ino: 64, nlink: 48, size: 288 } as const

/** Bytes of a buffer for any message: 32 pages, and room for the headers. */
export const MESSAGE_SIZE = 132 * 1024 + 4096

/** struct fuse_dirent. */
export const DIRENT = { ino: 0, offset: 8, nameLength: 16, name: 24 } as const

/** What a request has of other nodes and handles, and what the relay does with its answer. */
export interface Shape {
  /** Where its file handle lies in the body; 0 there is none. */
  readonly fh?: number
  /** Where a second node lies in the body. */
  readonly otherNode?: number
  /** Where a name lies in the body, which a NUL ends. */
  readonly name?: number
  /** What of the answer names nodes or handles; `created`: an entry, and an open file behind it. */
  readonly reply?: 'entry' | 'attr' | 'statx' | 'open' | 'created'
  /** How to tell, if the next daemon refuses it, whether the last one had done it: it has made the name, or taken it away, or moved it. */
  readonly check?: 'made' | 'gone' | 'moved'
  /** It is not sent again to the next daemon: nobody knows whether it was done. */
  readonly once?: true
}

/**
 * The requests that are passed on. One without `check` and `once` can be done twice: it changes nothing, or leaves the same behind. A WRITE has an offset, and a
 * file is not opened again with O_APPEND.
 */
export const SHAPES: ReadonlyMap<number, Shape> = new Map<number, Shape>([
  [OPCODE.LOOKUP, { name: 0, reply: 'entry' }],
  [OPCODE.GETATTR, { fh: 8, reply: 'attr' }],
  [OPCODE.STATX, { fh: 8, reply: 'statx' }],
  [OPCODE.READLINK, {}],
  [OPCODE.STATFS, {}],
  [OPCODE.ACCESS, {}],
  [OPCODE.GETXATTR, {}],
  [OPCODE.LISTXATTR, {}],
  [OPCODE.BMAP, {}],
  [OPCODE.OPEN, { reply: 'open' }],
  [OPCODE.OPENDIR, { reply: 'open' }],
  [OPCODE.READ, { fh: 0 }],
  [OPCODE.LSEEK, { fh: 0 }],
  [OPCODE.POLL, { fh: 0 }],
  [OPCODE.FLUSH, { fh: 0 }],
  [OPCODE.FSYNC, { fh: 0 }],
  [OPCODE.FSYNCDIR, { fh: 0 }],
  [OPCODE.RELEASE, { fh: 0 }],
  [OPCODE.RELEASEDIR, { fh: 0 }],
  [OPCODE.READDIR, { fh: 0 }],
  [OPCODE.IOCTL, { fh: 0, once: true }],
  [OPCODE.SETATTR, { fh: 8, reply: 'attr' }],
  [OPCODE.WRITE, { fh: 0 }],
  [OPCODE.FALLOCATE, { fh: 0 }],
  [OPCODE.SETXATTR, {}],
  [OPCODE.REMOVEXATTR, {}],
  [OPCODE.SYMLINK, { name: 0, reply: 'entry', check: 'made' }],
  [OPCODE.MKNOD, { name: 16, reply: 'entry', check: 'made' }],
  [OPCODE.MKDIR, { name: 8, reply: 'entry', check: 'made' }],
  [OPCODE.LINK, { name: 8, otherNode: 0, reply: 'entry', check: 'made' }],
  [OPCODE.CREATE, { name: 16, reply: 'created', check: 'made' }],
  [OPCODE.UNLINK, { name: 0, check: 'gone' }],
  [OPCODE.RMDIR, { name: 0, check: 'gone' }],
  [OPCODE.RENAME, { name: 8, otherNode: 0, check: 'moved' }],
  [OPCODE.RENAME2, { name: 16, otherNode: 0, check: 'moved' }],
])

/** The type bits of a directory. */
export const DIRECTORY = constants.S_IFDIR

/** What a struct fuse_entry_out says of a file; undefined: there is none of the name. */
export function foundIn(entry: Buffer): { readonly daemonId: bigint; readonly ino: bigint; readonly mode: number } | undefined {
  if (entry.length < ENTRY.size) return undefined
  const daemonId = entry.readBigUInt64LE(ENTRY.nodeid)
  return daemonId === 0n ? undefined : { daemonId, ino: entry.readBigUInt64LE(ENTRY.ino), mode: entry.readUInt32LE(ENTRY.mode) }
}

/** The type bits of a mode. */
export function typeOf(mode: number): number {
  return mode & constants.S_IFMT
}

/** Who asks, for a request of the relay's own. */
export interface Caller {
  readonly uid: number
  readonly gid: number
  readonly pid: number
}

/** The relay asks for itself, as root. */
const RELAY: Caller = { uid: 0, gid: 0, pid: 0 }

/** A request of the relay's own with a body of `size` bytes, which are 0. */
export function newRequest(opcode: number, nodeid: bigint, size: number, { uid, gid, pid }: Caller = RELAY): Buffer {
  const bytes = Buffer.alloc(IN.body + size)
  bytes.writeUInt32LE(bytes.length, IN.length)
  bytes.writeUInt32LE(opcode, IN.opcode)
  bytes.writeBigUInt64LE(nodeid, IN.nodeid)
  bytes.writeUInt32LE(uid, IN.uid)
  bytes.writeUInt32LE(gid, IN.gid)
  bytes.writeUInt32LE(pid, IN.pid)
  return bytes
}
