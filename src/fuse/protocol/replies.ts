import { OUT_HEADER_SIZE, PROTOCOL } from './constants.ts'
import { type EntryOut, type Attributes, writeAttributes, writeEntry, writeValid } from './structs.ts'
import { type Statx, writeStatx } from './statx.ts'
import type { Writer } from './writer.ts'

export type { EntryOut as Entry, Attributes } from './structs.ts'

/** What INIT is answered with, struct fuse_init_out. */
export interface InitReply {
  readonly minor: number
  /** Bytes. */
  readonly maxReadahead: number
  /** Those agreed on; from bit 32 on the kernel reads them only beside INIT.INIT_EXT. */
  readonly flags: bigint
  readonly maxBackground: number
  readonly congestionThreshold: number
  /** Bytes. */
  readonly maxWrite: number
  /** The granularity of times in nanoseconds: 1 to 1000000000. */
  readonly timeGran: number
  /** Of a request, read by the kernel only beside INIT.MAX_PAGES. */
  readonly maxPages: number
}

/** struct fuse_kstatfs. Counts of blocks are in units of `fragmentSize` bytes. */
export interface StatfsReply {
  readonly blocks: bigint | number
  readonly blocksFree: bigint | number
  readonly blocksAvailable: bigint | number
  readonly files: bigint | number
  readonly filesFree: bigint | number
  readonly blockSize: number
  readonly nameLength: number
  readonly fragmentSize: number
}

/** struct fuse_file_lock. */
export interface LockReply {
  readonly start: bigint
  /** The last byte of the range, not the first after it. */
  readonly end: bigint
  /** F_RDLCK, F_WRLCK or F_UNLCK. */
  readonly type: number
  readonly pid: number
}

/** Begins a reply of `size` bytes after the header, struct fuse_out_header. */
export function beginReply(writer: Writer, unique: bigint, size: number, error = 0): void {
  writer.reset()
  writer.u32(OUT_HEADER_SIZE + size)
  writer.i32(error)
  writer.u64(unique)
}

/** Refuses a request. `errno` is positive; the kernel takes 1 to 511. */
export function encodeError(writer: Writer, unique: bigint, errno: number): void {
  beginReply(writer, unique, 0, -errno)
}

/** The success of a request that asks for nothing. */
export function encodeEmpty(writer: Writer, unique: bigint): void {
  beginReply(writer, unique, 0)
}

/** To LOOKUP, MKNOD, MKDIR, SYMLINK and LINK. A nodeid of 0 says for `entryValid` that there is none by that name. */
export function encodeEntry(writer: Writer, unique: bigint, entry: EntryOut): void {
  beginReply(writer, unique, 128)
  writeEntry(writer, entry)
}

/** To GETATTR and SETATTR; `attrValid` in seconds, fractions allowed. */
export function encodeAttr(writer: Writer, unique: bigint, attrValid: number, attributes: Attributes): void {
  beginReply(writer, unique, 104)
  writeValid(writer, attrValid)
  writer.u32(0)
  writeAttributes(writer, attributes)
}

/** To OPEN and OPENDIR; `openFlags` from FOPEN. */
export function encodeOpen(writer: Writer, unique: bigint, fh: bigint, openFlags: number): void {
  beginReply(writer, unique, 16)
  writeOpen(writer, fh, openFlags)
}

/** To CREATE and TMPFILE. */
export function encodeCreate(writer: Writer, unique: bigint, entry: EntryOut, fh: bigint, openFlags: number): void {
  beginReply(writer, unique, 144)
  writeEntry(writer, entry)
  writeOpen(writer, fh, openFlags)
}

/** struct fuse_open_out. */
function writeOpen(writer: Writer, fh: bigint, openFlags: number): void {
  writer.u64(fh)
  writer.u32(openFlags)
  writer.u32(0)
}

/** To READ, READLINK, GETXATTR and LISTXATTR: never more than was asked for. */
export function encodeBytes(writer: Writer, unique: bigint, bytes: Uint8Array): void {
  beginReply(writer, unique, bytes.length)
  writer.bytes(bytes)
}

/** To STATFS. */
export function encodeStatfs(writer: Writer, unique: bigint, reply: StatfsReply): void {
  beginReply(writer, unique, 80)
  writer.u64(reply.blocks)
  writer.u64(reply.blocksFree)
  writer.u64(reply.blocksAvailable)
  writer.u64(reply.files)
  writer.u64(reply.filesFree)
  writer.u32(reply.blockSize)
  writer.u32(reply.nameLength)
  writer.u32(reply.fragmentSize)
  writer.zero(28)
}

/** To INIT: the form that every kernel from 7.23 on takes. */
export function encodeInit(writer: Writer, unique: bigint, reply: InitReply): void {
  beginReply(writer, unique, 64)
  writer.u32(PROTOCOL.major)
  writer.u32(reply.minor)
  writer.u32(reply.maxReadahead)
  writer.u32(Number(reply.flags & 0xffffffffn))
  writer.u16(reply.maxBackground)
  writer.u16(reply.congestionThreshold)
  writer.u32(reply.maxWrite)
  writer.u32(reply.timeGran)
  writer.u16(reply.maxPages)
  writer.u16(0)
  writer.u32(Number(reply.flags >> 32n))
  writer.zero(28)
}

/** To GETXATTR and LISTXATTR with a `size` of 0. */
export function encodeXattrSize(writer: Writer, unique: bigint, size: number): void {
  encodeCount(writer, unique, size)
}

/** To WRITE and COPY_FILE_RANGE: how many bytes were. */
export function encodeWritten(writer: Writer, unique: bigint, size: number): void {
  encodeCount(writer, unique, size)
}

/** struct fuse_getxattr_out, fuse_write_out and fuse_poll_out. */
function encodeCount(writer: Writer, unique: bigint, count: number): void {
  beginReply(writer, unique, 8)
  writer.u32(count)
  writer.u32(0)
}

/** To LSEEK: the offset from the file's start. */
export function encodeLseek(writer: Writer, unique: bigint, offset: bigint): void {
  beginReply(writer, unique, 8)
  writer.u64(offset)
}

/** To COPY_FILE_RANGE_64: how many bytes were. */
export function encodeCopied(writer: Writer, unique: bigint, size: bigint): void {
  beginReply(writer, unique, 8)
  writer.u64(size)
}

/** To GETLK: the conflicting lock, or one of type F_UNLCK. */
export function encodeLock(writer: Writer, unique: bigint, lock: LockReply): void {
  beginReply(writer, unique, 24)
  writer.u64(lock.start)
  writer.u64(lock.end)
  writer.u32(lock.type)
  writer.u32(lock.pid)
}

/** To BMAP: the block on the device. */
export function encodeBmap(writer: Writer, unique: bigint, block: bigint): void {
  beginReply(writer, unique, 8)
  writer.u64(block)
}

/** To IOCTL: what ioctl(2) returns, and the bytes for its argument, never more than the request's `outSize`. */
export function encodeIoctl(writer: Writer, unique: bigint, result: number, bytes: Uint8Array): void {
  beginReply(writer, unique, 16 + bytes.length)
  writer.i32(result)
  writer.zero(12)
  writer.bytes(bytes)
}

/** To POLL: `revents` as in poll(2). */
export function encodePoll(writer: Writer, unique: bigint, revents: number): void {
  encodeCount(writer, unique, revents)
}

/** To STATX; `attrValid` in seconds, fractions allowed. */
export function encodeStatx(writer: Writer, unique: bigint, attrValid: number, statx: Statx): void {
  beginReply(writer, unique, 288)
  writeValid(writer, attrValid)
  writer.zero(20)
  writeStatx(writer, statx)
}
