import type { Message, RequestHeader } from '../header.ts'
import type { Reader } from '../reader.ts'

/** struct fuse_open_in. */
export interface OpenRequest<Op extends string = 'OPEN' | 'OPENDIR'> extends Message<Op> {
  /** As in open(2). */
  readonly flags: number
  /** OPEN_KILL_SUIDGID. */
  readonly openFlags: number
}

/** struct fuse_read_in. A directory's `offset` is that of the last entry it was given. */
export interface ReadRequest<Op extends string = 'READ' | 'READDIR' | 'READDIRPLUS'> extends Message<Op> {
  readonly fh: bigint
  readonly offset: bigint
  /** The most bytes that may be answered. */
  readonly size: number
  readonly readFlags: number
  readonly lockOwner: bigint
  /** As the file was opened. */
  readonly flags: number
}

/** struct fuse_write_in and the data. */
export interface WriteRequest extends Message<'WRITE'> {
  readonly fh: bigint
  readonly offset: bigint
  readonly writeFlags: number
  readonly lockOwner: bigint
  readonly flags: number
  /** A view: good until the buffer is read into again. */
  readonly data: Buffer
}

/** struct fuse_release_in. */
export interface ReleaseRequest<Op extends string = 'RELEASE' | 'RELEASEDIR'> extends Message<Op> {
  readonly fh: bigint
  readonly flags: number
  readonly releaseFlags: number
  readonly lockOwner: bigint
}

/** struct fuse_flush_in. */
export interface FlushRequest extends Message<'FLUSH'> {
  readonly fh: bigint
  readonly lockOwner: bigint
}

/** struct fuse_fsync_in. */
export interface FsyncRequest<Op extends string = 'FSYNC' | 'FSYNCDIR'> extends Message<Op> {
  readonly fh: bigint
  readonly fsyncFlags: number
}

/** struct fuse_lseek_in. */
export interface LseekRequest extends Message<'LSEEK'> {
  readonly fh: bigint
  readonly offset: bigint
  /** SEEK_DATA or SEEK_HOLE. */
  readonly whence: number
}

/** struct fuse_fallocate_in. */
export interface FallocateRequest extends Message<'FALLOCATE'> {
  readonly fh: bigint
  readonly offset: bigint
  readonly length: bigint
  readonly mode: number
}

/** struct fuse_copy_file_range_in. */
export interface CopyFileRangeRequest<Op extends string = 'COPY_FILE_RANGE' | 'COPY_FILE_RANGE_64'> extends Message<Op> {
  readonly fhIn: bigint
  readonly offsetIn: bigint
  readonly nodeidOut: bigint
  readonly fhOut: bigint
  readonly offsetOut: bigint
  readonly length: bigint
  readonly flags: bigint
}

export type FilesRequest =
  | OpenRequest<'OPEN'>
  | OpenRequest<'OPENDIR'>
  | ReadRequest<'READ'>
  | ReadRequest<'READDIR'>
  | ReadRequest<'READDIRPLUS'>
  | WriteRequest
  | ReleaseRequest<'RELEASE'>
  | ReleaseRequest<'RELEASEDIR'>
  | FlushRequest
  | FsyncRequest<'FSYNC'>
  | FsyncRequest<'FSYNCDIR'>
  | LseekRequest
  | FallocateRequest
  | CopyFileRangeRequest<'COPY_FILE_RANGE'>
  | CopyFileRangeRequest<'COPY_FILE_RANGE_64'>

export function decodeOpen<Op extends string>(op: Op, header: RequestHeader, reader: Reader): OpenRequest<Op> {
  return { op, header, flags: reader.u32(), openFlags: reader.u32() }
}

export function decodeRead<Op extends string>(op: Op, header: RequestHeader, reader: Reader): ReadRequest<Op> {
  const fh = reader.u64()
  const offset = reader.u64()
  const size = reader.u32()
  const readFlags = reader.u32()
  const lockOwner = reader.u64()
  const flags = reader.u32()
  reader.skip(4)
  return { op, header, fh, offset, size, readFlags, lockOwner, flags }
}

export function decodeWrite(op: 'WRITE', header: RequestHeader, reader: Reader): WriteRequest {
  const fh = reader.u64()
  const offset = reader.u64()
  const size = reader.u32()
  const writeFlags = reader.u32()
  const lockOwner = reader.u64()
  const flags = reader.u32()
  reader.skip(4)
  return { op, header, fh, offset, writeFlags, lockOwner, flags, data: reader.bytes(size) }
}

export function decodeRelease<Op extends string>(op: Op, header: RequestHeader, reader: Reader): ReleaseRequest<Op> {
  return { op, header, fh: reader.u64(), flags: reader.u32(), releaseFlags: reader.u32(), lockOwner: reader.u64() }
}

export function decodeFlush(op: 'FLUSH', header: RequestHeader, reader: Reader): FlushRequest {
  const fh = reader.u64()
  reader.skip(8)
  return { op, header, fh, lockOwner: reader.u64() }
}

export function decodeFsync<Op extends string>(op: Op, header: RequestHeader, reader: Reader): FsyncRequest<Op> {
  const fh = reader.u64()
  const fsyncFlags = reader.u32()
  reader.skip(4)
  return { op, header, fh, fsyncFlags }
}

export function decodeLseek(op: 'LSEEK', header: RequestHeader, reader: Reader): LseekRequest {
  const fh = reader.u64()
  const offset = reader.u64()
  const whence = reader.u32()
  reader.skip(4)
  return { op, header, fh, offset, whence }
}

export function decodeFallocate(op: 'FALLOCATE', header: RequestHeader, reader: Reader): FallocateRequest {
  const fh = reader.u64()
  const offset = reader.u64()
  const length = reader.u64()
  const mode = reader.u32()
  reader.skip(4)
  return { op, header, fh, offset, length, mode }
}

export function decodeCopyFileRange<Op extends string>(op: Op, header: RequestHeader, reader: Reader): CopyFileRangeRequest<Op> {
  return {
    op,
    header,
    fhIn: reader.u64(),
    offsetIn: reader.u64(),
    nodeidOut: reader.u64(),
    fhOut: reader.u64(),
    offsetOut: reader.u64(),
    length: reader.u64(),
    flags: reader.u64(),
  }
}
