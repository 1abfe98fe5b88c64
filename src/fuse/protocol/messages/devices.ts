import type { Message, RequestHeader } from '../header.ts'
import type { Reader } from '../reader.ts'
import { checkCount } from './session.ts'

/** struct fuse_lk_in. */
export interface LockRequest<Op extends string = 'GETLK' | 'SETLK' | 'SETLKW'> extends Message<Op> {
  readonly fh: bigint
  readonly owner: bigint
  readonly start: bigint
  /** The last byte of the range, not the first after it. */
  readonly end: bigint
  /** F_RDLCK, F_WRLCK or F_UNLCK. */
  readonly type: number
  readonly pid: number
  readonly lkFlags: number
}

/** struct fuse_bmap_in. */
export interface BmapRequest extends Message<'BMAP'> {
  readonly block: bigint
  readonly blockSize: number
}

/** struct fuse_ioctl_in and the data. */
export interface IoctlRequest extends Message<'IOCTL'> {
  readonly fh: bigint
  readonly flags: number
  readonly cmd: number
  readonly arg: bigint
  readonly outSize: number
  /** A view: good until the buffer is read into again. */
  readonly data: Buffer
}

/** struct fuse_poll_in. */
export interface PollRequest extends Message<'POLL'> {
  readonly fh: bigint
  readonly kh: bigint
  readonly flags: number
  readonly events: number
}

/** struct fuse_setupmapping_in. */
export interface SetupMappingRequest extends Message<'SETUPMAPPING'> {
  readonly fh: bigint
  readonly foffset: bigint
  readonly length: bigint
  readonly flags: bigint
  readonly moffset: bigint
}

/** struct fuse_removemapping_in and its ranges. */
export interface RemoveMappingRequest extends Message<'REMOVEMAPPING'> {
  readonly ranges: readonly { readonly moffset: bigint; readonly length: bigint }[]
}

export type DevicesRequest =
  | LockRequest<'GETLK'>
  | LockRequest<'SETLK'>
  | LockRequest<'SETLKW'>
  | BmapRequest
  | IoctlRequest
  | PollRequest
  | SetupMappingRequest
  | RemoveMappingRequest

export function decodeLock<Op extends string>(op: Op, header: RequestHeader, reader: Reader): LockRequest<Op> {
  const fh = reader.u64()
  const owner = reader.u64()
  const start = reader.u64()
  const end = reader.u64()
  const type = reader.u32()
  const pid = reader.u32()
  const lkFlags = reader.u32()
  reader.skip(4)
  return { op, header, fh, owner, start, end, type, pid, lkFlags }
}

export function decodeBmap(op: 'BMAP', header: RequestHeader, reader: Reader): BmapRequest {
  const block = reader.u64()
  const blockSize = reader.u32()
  reader.skip(4)
  return { op, header, block, blockSize }
}

export function decodeIoctl(op: 'IOCTL', header: RequestHeader, reader: Reader): IoctlRequest {
  const fh = reader.u64()
  const flags = reader.u32()
  const cmd = reader.u32()
  const arg = reader.u64()
  const inSize = reader.u32()
  const outSize = reader.u32()
  return { op, header, fh, flags, cmd, arg, outSize, data: reader.bytes(inSize) }
}

export function decodePoll(op: 'POLL', header: RequestHeader, reader: Reader): PollRequest {
  return { op, header, fh: reader.u64(), kh: reader.u64(), flags: reader.u32(), events: reader.u32() }
}

export function decodeSetupMapping(op: 'SETUPMAPPING', header: RequestHeader, reader: Reader): SetupMappingRequest {
  return {
    op,
    header,
    fh: reader.u64(),
    foffset: reader.u64(),
    length: reader.u64(),
    flags: reader.u64(),
    moffset: reader.u64(),
  }
}

export function decodeRemoveMapping(op: 'REMOVEMAPPING', header: RequestHeader, reader: Reader): RemoveMappingRequest {
  const count = reader.u32()
  checkCount(count, 16, reader)
  const ranges: { moffset: bigint; length: bigint }[] = []
  for (let index = 0; index < count; index++) ranges.push({ moffset: reader.u64(), length: reader.u64() })
  return { op, header, ranges }
}
