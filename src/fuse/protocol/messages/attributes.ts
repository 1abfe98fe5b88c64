import type { Message, RequestHeader } from '../header.ts'
import type { Reader } from '../reader.ts'

/** struct fuse_getattr_in. `fh` means something if `getattrFlags` has GETATTR_FH. */
export interface GetattrRequest extends Message<'GETATTR'> {
  readonly getattrFlags: number
  readonly fh: bigint
}

/** struct fuse_setattr_in. `valid` (FATTR) says which of the fields mean something. Times are seconds since 1970. */
export interface SetattrRequest extends Message<'SETATTR'> {
  readonly valid: number
  readonly fh: bigint
  readonly size: bigint
  readonly lockOwner: bigint
  readonly atime: bigint
  readonly mtime: bigint
  readonly ctime: bigint
  readonly atimeNsec: number
  readonly mtimeNsec: number
  readonly ctimeNsec: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** struct fuse_statx_in. */
export interface StatxRequest extends Message<'STATX'> {
  readonly getattrFlags: number
  readonly fh: bigint
  /** AT_STATX_… of statx(2). */
  readonly sxFlags: number
  /** STATX_… of statx(2). */
  readonly sxMask: number
}

/** struct fuse_access_in. */
export interface AccessRequest extends Message<'ACCESS'> {
  /** As in access(2). */
  readonly mask: number
}

/** struct fuse_getxattr_in and the name. A `size` of 0 asks for the value's size. */
export interface GetxattrRequest extends Message<'GETXATTR'> {
  readonly size: number
  readonly name: string
}

/** struct fuse_getxattr_in. A `size` of 0 asks for the list's size. */
export interface ListxattrRequest extends Message<'LISTXATTR'> {
  readonly size: number
}

/** struct fuse_setxattr_in, name and value. */
export interface SetxattrRequest extends Message<'SETXATTR'> {
  /** As in setxattr(2). */
  readonly flags: number
  /** 0 unless INIT.SETXATTR_EXT was agreed on. */
  readonly setxattrFlags: number
  readonly name: string
  /** A view: good until the buffer is read into again. */
  readonly value: Buffer
}

export interface RemovexattrRequest extends Message<'REMOVEXATTR'> {
  readonly name: string
}

export type AttributesRequest =
  | GetattrRequest
  | SetattrRequest
  | StatxRequest
  | AccessRequest
  | GetxattrRequest
  | ListxattrRequest
  | SetxattrRequest
  | RemovexattrRequest
  | Message<'READLINK'>

export function decodeGetattr(op: 'GETATTR', header: RequestHeader, reader: Reader): GetattrRequest {
  const getattrFlags = reader.u32()
  reader.skip(4)
  return { op, header, getattrFlags, fh: reader.u64() }
}

export function decodeSetattr(op: 'SETATTR', header: RequestHeader, reader: Reader): SetattrRequest {
  const valid = reader.u32()
  reader.skip(4)
  const fh = reader.u64()
  const size = reader.u64()
  const lockOwner = reader.u64()
  const atime = reader.i64()
  const mtime = reader.i64()
  const ctime = reader.i64()
  const atimeNsec = reader.u32()
  const mtimeNsec = reader.u32()
  const ctimeNsec = reader.u32()
  const mode = reader.u32()
  reader.skip(4)
  const uid = reader.u32()
  const gid = reader.u32()
  reader.skip(4)
  return { op, header, valid, fh, size, lockOwner, atime, mtime, ctime, atimeNsec, mtimeNsec, ctimeNsec, mode, uid, gid }
}

export function decodeStatx(op: 'STATX', header: RequestHeader, reader: Reader): StatxRequest {
  const getattrFlags = reader.u32()
  reader.skip(4)
  return { op, header, getattrFlags, fh: reader.u64(), sxFlags: reader.u32(), sxMask: reader.u32() }
}

export function decodeAccess(op: 'ACCESS', header: RequestHeader, reader: Reader): AccessRequest {
  const mask = reader.u32()
  reader.skip(4)
  return { op, header, mask }
}

export function decodeGetxattr(op: 'GETXATTR', header: RequestHeader, reader: Reader): GetxattrRequest {
  const size = reader.u32()
  reader.skip(4)
  return { op, header, size, name: reader.cstring() }
}

export function decodeListxattr(op: 'LISTXATTR', header: RequestHeader, reader: Reader): ListxattrRequest {
  const size = reader.u32()
  reader.skip(4)
  return { op, header, size }
}

/**
 * Without INIT.SETXATTR_EXT the struct ends before `setxattrFlags`. The lengths tell the two forms apart: taken as the short one,
 * the first NUL of the long one lies in the first two bytes of the name, too early for the value to end with the request.
 */
export function decodeSetxattr(op: 'SETXATTR', header: RequestHeader, reader: Reader): SetxattrRequest {
  const size = reader.u32()
  const flags = reader.u32()
  let setxattrFlags = 0
  if (reader.untilNul() + 1 + size !== reader.remaining) {
    setxattrFlags = reader.u32()
    reader.skip(4)
  }
  return { op, header, flags, setxattrFlags, name: reader.cstring(), value: reader.bytes(size) }
}

export function decodeRemovexattr(op: 'REMOVEXATTR', header: RequestHeader, reader: Reader): RemovexattrRequest {
  return { op, header, name: reader.cstring() }
}
