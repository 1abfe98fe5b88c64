import { INIT, PROTOCOL } from '../constants.ts'
import { ProtocolError } from '../errors.ts'
import type { Message, RequestHeader } from '../header.ts'
import type { Reader } from '../reader.ts'

/** struct fuse_init_in. If the major version is not 7, only the version is read and the rest is 0. */
export interface InitRequest extends Message<'INIT'> {
  readonly major: number
  readonly minor: number
  /** Bytes. */
  readonly maxReadahead: number
  /** flags, and flags2 from bit 32 on. */
  readonly flags: bigint
}

/** struct fuse_forget_in: no reply. */
export interface ForgetRequest extends Message<'FORGET'> {
  readonly nlookup: bigint
}

/** struct fuse_batch_forget_in: no reply. */
export interface BatchForgetRequest extends Message<'BATCH_FORGET'> {
  readonly forgets: readonly { readonly nodeid: bigint; readonly nlookup: bigint }[]
}

/** struct fuse_interrupt_in: no reply, or EAGAIN where the request `target` is not known yet. */
export interface InterruptRequest extends Message<'INTERRUPT'> {
  readonly target: bigint
}

/** struct fuse_notify_retrieve_in and the data that NOTIFY.RETRIEVE asked for: no reply. */
export interface NotifyReplyRequest extends Message<'NOTIFY_REPLY'> {
  readonly offset: bigint
  /** A view: good until the buffer is read into again. */
  readonly data: Buffer
}

export type SessionRequest =
  | InitRequest
  | ForgetRequest
  | BatchForgetRequest
  | InterruptRequest
  | NotifyReplyRequest
  | Message<'DESTROY'>
  | Message<'STATFS'>
  | Message<'SYNCFS'>

/** sizeof(struct fuse_init_in) from 7.36 on, less the four fields that older ones have too. */
const INIT_EXTENSION = 48

export function decodeInit(op: 'INIT', header: RequestHeader, reader: Reader): InitRequest {
  const major = reader.u32()
  const minor = reader.u32()
  if (major !== PROTOCOL.major || minor < 6) {
    reader.skip(reader.remaining)
    return { op, header, major, minor, maxReadahead: 0, flags: 0n }
  }
  const maxReadahead = reader.u32()
  let flags = BigInt(reader.u32())
  if ((flags & INIT.INIT_EXT) !== 0n) {
    flags |= BigInt(reader.u32()) << 32n
    reader.skip(INIT_EXTENSION - 4)
  } else if (reader.remaining === INIT_EXTENSION) {
    reader.skip(INIT_EXTENSION)
  }
  // A newer kernel may have made it longer still.
  if (minor > PROTOCOL.newestMinor) reader.skip(reader.remaining)
  return { op, header, major, minor, maxReadahead, flags }
}

export function decodeForget(op: 'FORGET', header: RequestHeader, reader: Reader): ForgetRequest {
  return { op, header, nlookup: reader.u64() }
}

export function decodeBatchForget(op: 'BATCH_FORGET', header: RequestHeader, reader: Reader): BatchForgetRequest {
  const count = reader.u32()
  reader.skip(4)
  checkCount(count, 16, reader)
  const forgets: { nodeid: bigint; nlookup: bigint }[] = []
  for (let index = 0; index < count; index++) forgets.push({ nodeid: reader.u64(), nlookup: reader.u64() })
  return { op, header, forgets }
}

export function decodeInterrupt(op: 'INTERRUPT', header: RequestHeader, reader: Reader): InterruptRequest {
  return { op, header, target: reader.u64() }
}

export function decodeNotifyReply(op: 'NOTIFY_REPLY', header: RequestHeader, reader: Reader): NotifyReplyRequest {
  reader.skip(8)
  const offset = reader.u64()
  const size = reader.u32()
  reader.skip(20)
  return { op, header, offset, data: reader.bytes(size) }
}

/** struct fuse_syncfs_in holds nothing. */
export function decodeSyncfs(op: 'SYNCFS', header: RequestHeader, reader: Reader): Message<'SYNCFS'> {
  reader.skip(8)
  return { op, header }
}

/** A request that is its header alone. */
export function decodeBare<Op extends string>(op: Op, header: RequestHeader): Message<Op> {
  return { op, header }
}

/** Throws ProtocolError before anything is made of a number of items that the request has no room for. */
export function checkCount(count: number, itemSize: number, reader: Reader): void {
  if (count * itemSize <= reader.remaining) return
  throw new ProtocolError('truncated', `${count} items of ${itemSize} bytes, where ${reader.remaining} are left`, reader.unique)
}
