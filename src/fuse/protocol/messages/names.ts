import type { Message, RequestHeader } from '../header.ts'
import type { Reader } from '../reader.ts'

/** A name in the directory that the header's nodeid is, and nothing else. */
export interface NameRequest<Op extends string = 'LOOKUP' | 'UNLINK' | 'RMDIR'> extends Message<Op> {
  readonly name: string
}

type LookupRequest = NameRequest<'LOOKUP'>

/** A new symbolic link `name` that leads to `target`. */
export interface SymlinkRequest extends Message<'SYMLINK'> {
  readonly name: string
  readonly target: string
}

/** struct fuse_mknod_in and the name. */
export interface MknodRequest extends Message<'MKNOD'> {
  readonly mode: number
  readonly rdev: number
  readonly umask: number
  readonly name: string
}

/** struct fuse_mkdir_in and the name. */
export interface MkdirRequest extends Message<'MKDIR'> {
  readonly mode: number
  readonly umask: number
  readonly name: string
}

/** struct fuse_rename_in or fuse_rename2_in and both names. RENAME's `flags` are 0. */
export interface RenameRequest<Op extends string = 'RENAME' | 'RENAME2'> extends Message<Op> {
  readonly newdir: bigint
  /** As in renameat2(2). */
  readonly flags: number
  readonly name: string
  readonly newName: string
}

/** struct fuse_link_in and the new name. */
export interface LinkRequest extends Message<'LINK'> {
  readonly oldNodeid: bigint
  readonly name: string
}

/** struct fuse_create_in and the name, which means nothing to TMPFILE. */
export interface CreateRequest<Op extends string = 'CREATE' | 'TMPFILE'> extends Message<Op> {
  /** As in open(2). */
  readonly flags: number
  readonly mode: number
  readonly umask: number
  readonly openFlags: number
  readonly name: string
}

export type NamesRequest =
  | LookupRequest
  | NameRequest<'UNLINK'>
  | NameRequest<'RMDIR'>
  | SymlinkRequest
  | MknodRequest
  | MkdirRequest
  | RenameRequest<'RENAME'>
  | RenameRequest<'RENAME2'>
  | LinkRequest
  | CreateRequest<'CREATE'>
  | CreateRequest<'TMPFILE'>

export function decodeName<Op extends string>(op: Op, header: RequestHeader, reader: Reader): NameRequest<Op> {
  return { op, header, name: reader.cstring() }
}

export function decodeSymlink(op: 'SYMLINK', header: RequestHeader, reader: Reader): SymlinkRequest {
  return { op, header, name: reader.cstring(), target: reader.cstring() }
}

export function decodeMknod(op: 'MKNOD', header: RequestHeader, reader: Reader): MknodRequest {
  const mode = reader.u32()
  const rdev = reader.u32()
  const umask = reader.u32()
  reader.skip(4)
  return { op, header, mode, rdev, umask, name: reader.cstring() }
}

export function decodeMkdir(op: 'MKDIR', header: RequestHeader, reader: Reader): MkdirRequest {
  return { op, header, mode: reader.u32(), umask: reader.u32(), name: reader.cstring() }
}

export function decodeRename(op: 'RENAME', header: RequestHeader, reader: Reader): RenameRequest<'RENAME'> {
  return { op, header, newdir: reader.u64(), flags: 0, name: reader.cstring(), newName: reader.cstring() }
}

export function decodeRename2(op: 'RENAME2', header: RequestHeader, reader: Reader): RenameRequest<'RENAME2'> {
  const newdir = reader.u64()
  const flags = reader.u32()
  reader.skip(4)
  return { op, header, newdir, flags, name: reader.cstring(), newName: reader.cstring() }
}

export function decodeLink(op: 'LINK', header: RequestHeader, reader: Reader): LinkRequest {
  return { op, header, oldNodeid: reader.u64(), name: reader.cstring() }
}

export function decodeCreate<Op extends string>(op: Op, header: RequestHeader, reader: Reader): CreateRequest<Op> {
  return {
    op,
    header,
    flags: reader.u32(),
    mode: reader.u32(),
    umask: reader.u32(),
    openFlags: reader.u32(),
    name: reader.cstring(),
  }
}
