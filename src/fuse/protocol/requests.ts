import { IN_HEADER_SIZE, OPCODE, RESEND_BIT } from './constants.ts'
import { ProtocolError } from './errors.ts'
import { decodeHeader, type RequestHeader } from './header.ts'
import * as attributes from './messages/attributes.ts'
import * as devices from './messages/devices.ts'
import * as files from './messages/files.ts'
import * as names from './messages/names.ts'
import * as session from './messages/session.ts'
import { Reader } from './reader.ts'

export type * from './messages/attributes.ts'
export type * from './messages/devices.ts'
export type * from './messages/files.ts'
export type * from './messages/names.ts'
export type * from './messages/session.ts'

/** All that the kernel asks of a file system. */
export type Request =
  | session.SessionRequest
  | names.NamesRequest
  | attributes.AttributesRequest
  | files.FilesRequest
  | devices.DevicesRequest

/** The request of one opcode, or of one of several. */
export type RequestOf<Op extends Request['op']> = Extract<Request, { readonly op: Op }>

interface Row {
  readonly opcode: number
  readonly op: Request['op']
  readonly decode: (op: never, header: RequestHeader, reader: Reader) => Request
}

function row<Op extends Request['op']>(op: Op, decode: (op: Op, header: RequestHeader, reader: Reader) => RequestOf<Op>): Row {
  return { opcode: OPCODE[op], op, decode }
}

const ROWS: readonly Row[] = [
  row('LOOKUP', names.decodeName),
  row('FORGET', session.decodeForget),
  row('GETATTR', attributes.decodeGetattr),
  row('SETATTR', attributes.decodeSetattr),
  row('READLINK', session.decodeBare),
  row('SYMLINK', names.decodeSymlink),
  row('MKNOD', names.decodeMknod),
  row('MKDIR', names.decodeMkdir),
  row('UNLINK', names.decodeName),
  row('RMDIR', names.decodeName),
  row('RENAME', names.decodeRename),
  row('LINK', names.decodeLink),
  row('OPEN', files.decodeOpen),
  row('READ', files.decodeRead),
  row('WRITE', files.decodeWrite),
  row('STATFS', session.decodeBare),
  row('RELEASE', files.decodeRelease),
  row('FSYNC', files.decodeFsync),
  row('SETXATTR', attributes.decodeSetxattr),
  row('GETXATTR', attributes.decodeGetxattr),
  row('LISTXATTR', attributes.decodeListxattr),
  row('REMOVEXATTR', attributes.decodeRemovexattr),
  row('FLUSH', files.decodeFlush),
  row('INIT', session.decodeInit),
  row('OPENDIR', files.decodeOpen),
  row('READDIR', files.decodeRead),
  row('RELEASEDIR', files.decodeRelease),
  row('FSYNCDIR', files.decodeFsync),
  row('GETLK', devices.decodeLock),
  row('SETLK', devices.decodeLock),
  row('SETLKW', devices.decodeLock),
  row('ACCESS', attributes.decodeAccess),
  row('CREATE', names.decodeCreate),
  row('INTERRUPT', session.decodeInterrupt),
  row('BMAP', devices.decodeBmap),
  row('DESTROY', session.decodeBare),
  row('IOCTL', devices.decodeIoctl),
  row('POLL', devices.decodePoll),
  row('NOTIFY_REPLY', session.decodeNotifyReply),
  row('BATCH_FORGET', session.decodeBatchForget),
  row('FALLOCATE', files.decodeFallocate),
  row('READDIRPLUS', files.decodeRead),
  row('RENAME2', names.decodeRename2),
  row('LSEEK', files.decodeLseek),
  row('COPY_FILE_RANGE', files.decodeCopyFileRange),
  row('SETUPMAPPING', devices.decodeSetupMapping),
  row('REMOVEMAPPING', devices.decodeRemoveMapping),
  row('SYNCFS', session.decodeSyncfs),
  row('TMPFILE', names.decodeCreate),
  row('STATX', attributes.decodeStatx),
  row('COPY_FILE_RANGE_64', files.decodeCopyFileRange),
]

const BY_OPCODE: ReadonlyMap<number, Row> = new Map(ROWS.map((one) => [one.opcode, one]))

/** Requests that the kernel sends without waiting for a reply (fs/fuse/dev.c: no FR_ISREPLY; forgets and interrupts are no requests there). */
const UNANSWERED: ReadonlySet<number> = new Set([OPCODE.FORGET, OPCODE.BATCH_FORGET, OPCODE.INTERRUPT, OPCODE.NOTIFY_REPLY])

/** Whether the kernel waits for a reply to a request with this opcode. */
export function wantsReply(opcode: number): boolean {
  return !UNANSWERED.has(opcode)
}

/**
 * Takes apart what one read(2) of /dev/fuse gave. Names are decoded as UTF-8. Throws ProtocolError: `unknown-opcode`, or `truncated`
 * or `malformed` where the bytes are not exactly one request and its extensions.
 */
export function decodeRequest(bytes: Buffer): Request {
  if (bytes.length < IN_HEADER_SIZE) {
    throw new ProtocolError('truncated', `a request of ${bytes.length} bytes, less than its header's ${IN_HEADER_SIZE}`)
  }
  const reader = new Reader(bytes)
  const header = decodeHeader(reader)
  const { length, opcode, unique } = header
  if (length !== bytes.length) {
    const kind = length > bytes.length ? 'truncated' : 'malformed'
    throw new ProtocolError(kind, `a request that says it has ${length} bytes has ${bytes.length}`, unique)
  }
  const known = BY_OPCODE.get(opcode)
  if (known === undefined) throw new ProtocolError('unknown-opcode', `there is no request with the opcode ${opcode}`, unique)
  reader.shorten(8 * header.totalExtlen)
  const request = known.decode(known.op as never, header, reader)
  if (reader.remaining > 0) {
    throw new ProtocolError('malformed', `${known.op} has ${reader.remaining} bytes more than it should`, unique)
  }
  return request
}

/** Whether the kernel sent this request before, to a reader that died with it. */
export function isResent(unique: bigint): boolean {
  return (unique & RESEND_BIT) !== 0n
}
