import { constants } from 'node:os'
import { INIT, FOPEN } from '../../src/fuse/protocol/constants.ts'
import { addEntry, addEntryPlus, beginDirectory, endDirectory } from '../../src/fuse/protocol/directory.ts'
import { negotiate } from '../../src/fuse/protocol/negotiation.ts'
import { encodeResend } from '../../src/fuse/protocol/notifications.ts'
import * as replies from '../../src/fuse/protocol/replies.ts'
import { isResent, type ReadRequest, type Request, type RequestOf } from '../../src/fuse/protocol/requests.ts'
import type { Writer } from '../../src/fuse/protocol/writer.ts'

const { EINTR, ENODATA, ENOENT, EROFS } = constants.errno
const SEEK_HOLE = 4
const POLLIN = 1
const F_RDLCK = 0
/** STATX_BASIC_STATS and STATX_BTIME. */
const STATX_ALL = 0xfff
const BIRTH = 1_234_567_890.5

interface Node {
  readonly mode: number
  /** A file's bytes or a link's target. */
  readonly text: string
  /** A directory's entries. */
  readonly names: ReadonlyMap<string, bigint>
}

/** High numbers: the kernel hands them back in full. */
const node = (number: bigint): bigint => 0xfedc_ba98_7654_3200n + number
const HELD = node(4n)
const RESENT = node(5n)
const CREATED = node(7n)
const NONE: ReadonlyMap<string, bigint> = new Map()
const file = (text: string): Node => ({ mode: 0o100644, text, names: NONE })
const directory = (names: readonly (readonly [string, bigint])[]): Node => ({ mode: 0o040755, text: '', names: new Map(names) })

const MANY = Array.from({ length: 40 }, (_, index): [string, bigint] => [
  `${'long-name-'.repeat(8)}${index + 10}`,
  node(100n + BigInt(index)),
])
const REMOVED: readonly [string, bigint][] = [
  ['one', node(21n)],
  ['two', node(22n)],
  ['three', node(23n)],
]
const TOP: readonly [string, bigint][] = [
  ['file', node(2n)],
  ['link', node(3n)],
  ['held', HELD],
  ['resent', RESENT],
  ['many', node(6n)],
  ['removed', node(20n)],
]

export const GREETING = 'Hello world!\n'
export const REMOVED_NODES = [node(20n), ...REMOVED.map(([, nodeid]) => nodeid)]
export const MANY_NAMES = MANY.map(([name]) => name)

const NODES: ReadonlyMap<bigint, Node> = new Map([
  [1n, directory(TOP)],
  [node(2n), file(GREETING)],
  [node(3n), { mode: 0o120777, text: 'the/target', names: NONE }],
  [HELD, file('never read')],
  [RESENT, file('read at the second time\n')],
  [node(6n), directory(MANY)],
  [CREATED, file('')],
  [node(20n), directory(REMOVED)],
  ...[...MANY, ...REMOVED].map(([name, nodeid]): [bigint, Node] => [nodeid, file(name)]),
])

const WANTED =
  INIT.ASYNC_READ |
  INIT.POSIX_LOCKS |
  INIT.FLOCK_LOCKS |
  INIT.ATOMIC_O_TRUNC |
  INIT.DO_READDIRPLUS |
  INIT.READDIRPLUS_AUTO |
  INIT.PARALLEL_DIROPS |
  INIT.MAX_PAGES |
  INIT.SETXATTR_EXT |
  INIT.HAS_RESEND

/** The handle under which a node is open. */
export const handleOf = (nodeid: bigint): bigint => nodeid ^ 0xffff_0000_0000_0000n

/**
 * What is to be done about a request: `reply` and `resend` have left a message in the writer; nothing is answered to the others. The
 * same request always has the same answer, so that a recorded one can be answered again.
 */
export type Action = 'reply' | 'resend' | 'hold' | 'none'

/** A small file system that lets the kernel do all it can, and answers nearly all that would change it with EROFS. */
export function answer(request: Request, writer: Writer): Action {
  const { unique, nodeid } = request.header
  const found = NODES.get(nodeid)
  switch (request.op) {
    case 'INIT':
      replies.encodeInit(writer, unique, initReply(request))
      return 'reply'
    case 'LOOKUP':
      lookup(request, found, writer)
      return 'reply'
    case 'GETATTR':
      if (found === undefined) replies.encodeError(writer, unique, ENOENT)
      else replies.encodeAttr(writer, unique, 0.5, attributesOf(nodeid, found))
      return 'reply'
    case 'OPEN':
      // Who reads around the cache waits for the request itself, so that a signal becomes INTERRUPT.
      replies.encodeOpen(writer, unique, handleOf(nodeid), nodeid === HELD ? FOPEN.DIRECT_IO : FOPEN.KEEP_CACHE)
      return 'reply'
    case 'OPENDIR':
      replies.encodeOpen(writer, unique, handleOf(nodeid), FOPEN.CACHE_DIR)
      return 'reply'
    case 'READ':
      return read(request, found, writer)
    case 'READDIR':
    case 'READDIRPLUS':
      readdir(request, found, writer)
      return 'reply'
    case 'READLINK':
      replies.encodeBytes(writer, unique, Buffer.from(found?.text ?? ''))
      return 'reply'
    case 'STATFS':
      replies.encodeStatfs(writer, unique, {
        blocks: 1000n,
        blocksFree: 300,
        blocksAvailable: 200n,
        files: 50,
        filesFree: 40,
        blockSize: 8192,
        nameLength: 200,
        fragmentSize: 4096,
      })
      return 'reply'
    case 'LISTXATTR':
      xattr(request, 'user.colour\0', writer)
      return 'reply'
    case 'GETXATTR':
      if (request.name === 'user.colour') xattr(request, 'red', writer)
      else replies.encodeError(writer, unique, ENODATA)
      return 'reply'
    case 'LSEEK':
      replies.encodeLseek(writer, unique, request.whence === SEEK_HOLE ? BigInt(GREETING.length) : request.offset)
      return 'reply'
    case 'INTERRUPT':
      replies.encodeError(writer, request.target, EINTR)
      return 'reply'
    case 'FORGET':
    case 'BATCH_FORGET':
    case 'NOTIFY_REPLY':
      return 'none'
    case 'ACCESS':
    case 'RELEASE':
    case 'RELEASEDIR':
    case 'FLUSH':
    case 'FSYNC':
    case 'FSYNCDIR':
    case 'RMDIR':
    case 'SETLK':
    case 'SETLKW':
    case 'SYNCFS':
    case 'DESTROY':
      replies.encodeEmpty(writer, unique)
      return 'reply'
    case 'CREATE':
      create(request, writer)
      return 'reply'
    case 'WRITE':
      replies.encodeWritten(writer, unique, request.data.length)
      return 'reply'
    case 'COPY_FILE_RANGE':
      replies.encodeWritten(writer, unique, Number(request.length))
      return 'reply'
    case 'COPY_FILE_RANGE_64':
      replies.encodeCopied(writer, unique, request.length)
      return 'reply'
    case 'GETLK':
      replies.encodeLock(writer, unique, { start: 5n, end: 8n, type: F_RDLCK, pid: 1 })
      return 'reply'
    case 'POLL':
      replies.encodePoll(writer, unique, request.events & POLLIN)
      return 'reply'
    case 'IOCTL':
      replies.encodeIoctl(writer, unique, 0, Buffer.from('imut').subarray(0, request.outSize))
      return 'reply'
    case 'STATX':
      if (found === undefined) replies.encodeError(writer, unique, ENOENT)
      else replies.encodeStatx(writer, unique, 0.5, { ...attributesOf(nodeid, found), btime: BIRTH, mask: STATX_ALL })
      return 'reply'
    default:
      replies.encodeError(writer, unique, EROFS)
      return 'reply'
  }
}

function initReply(request: RequestOf<'INIT'>): replies.InitReply {
  const { minor, flags } = negotiate(request, WANTED)
  return {
    minor,
    flags,
    maxReadahead: request.maxReadahead,
    maxBackground: 12,
    congestionThreshold: 9,
    maxWrite: 131072,
    timeGran: 1,
    maxPages: 32,
  }
}

function lookup({ header, name }: RequestOf<'LOOKUP'>, parent: Node | undefined, writer: Writer): void {
  const nodeid = parent?.names.get(name) ?? 0n
  const found = NODES.get(nodeid)
  if (found === undefined) replies.encodeError(writer, header.unique, ENOENT)
  else replies.encodeEntry(writer, header.unique, entryOf(nodeid, found))
}

/** Only one file may be made. */
function create({ header, name }: RequestOf<'CREATE'>, writer: Writer): void {
  const found = NODES.get(CREATED)
  if (name !== 'creatable' || found === undefined) replies.encodeError(writer, header.unique, EROFS)
  else replies.encodeCreate(writer, header.unique, entryOf(CREATED, found), handleOf(CREATED), FOPEN.DIRECT_IO)
}

function read(request: ReadRequest, found: Node | undefined, writer: Writer): Action {
  const { unique } = request.header
  if (request.header.nodeid === HELD) return 'hold'
  if (request.header.nodeid === RESENT && !isResent(unique)) {
    encodeResend(writer)
    return 'resend'
  }
  const content = Buffer.from(found?.text ?? '')
  const start = Number(request.offset)
  replies.encodeBytes(writer, unique, content.subarray(start, start + request.size))
  return 'reply'
}

/** At most 2048 bytes at a time, so that the kernel has to ask again. */
function readdir(
  { op, header, offset, size }: RequestOf<'READDIR' | 'READDIRPLUS'>,
  found: Node | undefined,
  writer: Writer,
): void {
  const limit = Math.min(size, 2048)
  const names: [string, bigint][] = [['.', header.nodeid], ['..', 1n], ...(found?.names ?? [])]
  beginDirectory(writer, header.unique)
  for (let index = Number(offset); index < names.length; index++) {
    const [name, nodeid] = names[index] ?? ['', 0n]
    const child = NODES.get(nodeid)
    if (child === undefined) throw new Error(`no node for ${name}`)
    const dirent = { nodeid, offset: BigInt(index + 1), type: child.mode >>> 12, name }
    const added =
      op === 'READDIR'
        ? addEntry(writer, dirent, limit)
        : addEntryPlus(writer, { ...entryOf(nodeid, child), ...dirent, nodeid: index < 2 ? 0n : nodeid }, limit)
    if (!added) break
  }
  endDirectory(writer)
}

function xattr(request: RequestOf<'GETXATTR' | 'LISTXATTR'>, value: string, writer: Writer): void {
  const bytes = Buffer.from(value)
  if (request.size === 0) replies.encodeXattrSize(writer, request.header.unique, bytes.length)
  else replies.encodeBytes(writer, request.header.unique, bytes)
}

function entryOf(nodeid: bigint, found: Node): replies.Entry {
  return { nodeid, generation: 0n, entryValid: 3600, attrValid: 0.5, attributes: attributesOf(nodeid, found) }
}

function attributesOf(nodeid: bigint, { mode, text, names }: Node): replies.Attributes {
  const size = Buffer.byteLength(text) + names.size
  return {
    nodeid,
    size,
    blocks: Math.ceil(size / 512),
    atime: 1,
    mtime: 1618579413.25,
    ctime: 2,
    mode,
    nlink: 1,
    uid: 1000,
    gid: 1001,
    rdev: 0,
    blksize: 4096,
    flags: 0,
  }
}
