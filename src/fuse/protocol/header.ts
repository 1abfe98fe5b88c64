import type { Reader } from './reader.ts'

/** struct fuse_in_header. */
export interface RequestHeader {
  /** Of the whole request, in bytes. */
  readonly length: number
  readonly opcode: number
  /** To be echoed by the reply, the resend bit included. */
  readonly unique: bigint
  readonly nodeid: bigint
  /** Of the calling process; 4294967295 where the caller's cannot be mapped. */
  readonly uid: number
  readonly gid: number
  readonly pid: number
  /** Of the extensions at the request's end, in units of eight bytes. */
  readonly totalExtlen: number
}

/** One of the forms of a request: `op` is its opcode's name. */
export interface Message<Op extends string> {
  readonly op: Op
  readonly header: RequestHeader
}

export function decodeHeader(reader: Reader): RequestHeader {
  const length = reader.u32()
  const opcode = reader.u32()
  const unique = reader.u64()
  reader.unique = unique
  const nodeid = reader.u64()
  const uid = reader.u32()
  const gid = reader.u32()
  const pid = reader.u32()
  const totalExtlen = reader.u16()
  reader.skip(2)
  return { length, opcode, unique, nodeid, uid, gid, pid, totalExtlen }
}
