import { constants as fsConstants } from 'node:fs'
import { constants } from 'node:os'
import {
  type DirectoryEntry,
  type FileSystem,
  FileSystemError,
  isWritable,
  type NodeId,
  type WritableFileSystem,
} from '../filesystem.ts'
import { addEntry, addEntryPlus, beginDirectory, endDirectory } from '../protocol/directory.ts'
import { encodeAttr, encodeBytes, encodeEmpty, encodeEntry, encodeError, encodeOpen, encodeStatfs } from '../protocol/replies.ts'
import type { Request, RequestOf } from '../protocol/requests.ts'
import type { Attributes as ReplyAttributes, EntryOut as EntryReply } from '../protocol/structs.ts'
import type { Writer } from '../protocol/writer.ts'
import { AttributeReplies } from './attribute-replies.ts'
import { Changes } from './changes.ts'
import type { SessionSettings } from './mount-options.ts'

const { S_IFDIR, S_IFMT, S_IXUSR, S_IXGRP, S_IXOTH, W_OK, X_OK } = fsConstants
const EXECUTE = S_IXUSR | S_IXGRP | S_IXOTH

/** Requests that would change the file system. One that is only read refuses them with EROFS. */
const CHANGES: ReadonlySet<Request['op']> = new Set([
  'SETATTR',
  'SYMLINK',
  'MKNOD',
  'MKDIR',
  'UNLINK',
  'RMDIR',
  'RENAME',
  'RENAME2',
  'LINK',
  'WRITE',
  'SETXATTR',
  'REMOVEXATTR',
  'CREATE',
  'FALLOCATE',
  'COPY_FILE_RANGE',
  'COPY_FILE_RANGE_64',
  'TMPFILE',
])

/** Requests that are allowed from any user despite `allow_root`, because they belong to a file that root has opened. */
const OF_THE_OPENED: ReadonlySet<Request['op']> = new Set([
  'READ',
  'READDIR',
  'READDIRPLUS',
  'RELEASE',
  'RELEASEDIR',
  'FLUSH',
  'FSYNC',
  'FSYNCDIR',
  'WRITE',
  'FALLOCATE',
])

/** Answers requests out of a file system of nodes. A handle is its node's id, so that it means the same to every successor. */
export class Operations {
  readonly #filesystem: FileSystem
  readonly #settings: SessionSettings
  readonly #replies: AttributeReplies
  readonly #writable: WritableFileSystem | undefined
  readonly #changes: Changes | undefined
  /** The nodes of the last answer that the kernel counts lookups of, once it has it. */
  readonly #given: NodeId[] = []

  constructor(filesystem: FileSystem, settings: SessionSettings) {
    this.#filesystem = filesystem
    this.#settings = settings
    this.#replies = new AttributeReplies(settings)
    if (!isWritable(filesystem)) return
    this.#writable = filesystem
    this.#changes = new Changes(filesystem, settings, this.#replies)
  }

  /** The kernel does not use nodes any more. */
  forget(request: RequestOf<'FORGET' | 'BATCH_FORGET'>): void {
    if (this.#writable === undefined) return
    const { nodeid } = request.header
    const forgets = request.op === 'FORGET' ? [{ nodeid, nlookup: request.nlookup }] : request.forgets
    for (const one of forgets) this.#writable.forget(one.nodeid as NodeId, one.nlookup)
  }

  /** The kernel has not taken the last answer of {@link answer}. */
  unanswered(): void {
    for (const node of this.#given.splice(0)) this.#writable?.forget(node, 1n)
  }

  /**
   * Encodes the answer into `reply`, or returns a promise of what encodes it. Throws FileSystemError with the errno to answer; ENOSYS for
   * what this file system has no notion of, after which the kernel asks no more.
   */
  answer(request: Request, reply: Writer): undefined | Promise<(reply: Writer) => void> {
    const { unique, uid } = request.header
    const nodeid = request.header.nodeid as NodeId
    if (this.#writable !== undefined) this.#given.length = 0
    if (this.#settings.allowRoot && uid !== 0 && !OF_THE_OPENED.has(request.op)) throw new FileSystemError('EACCES')
    switch (request.op) {
      case 'LOOKUP':
        this.#lookup(request, nodeid, reply)
        return
      case 'GETATTR':
        encodeAttr(reply, unique, this.#settings.attrTimeout, this.#replies.of(this.#filesystem.getattr(nodeid)))
        return
      case 'OPEN':
        this.#filesystem.open(nodeid, request.flags)
        encodeOpen(reply, unique, nodeid, this.#settings.openFlags)
        return
      case 'OPENDIR':
        this.#filesystem.open(nodeid, request.flags)
        encodeOpen(reply, unique, nodeid, 0)
        return
      case 'READ':
        return this.#read(request, nodeid, reply)
      case 'READDIR':
      case 'READDIRPLUS':
        this.#readdir(request, nodeid, reply)
        return
      case 'RELEASE':
      case 'RELEASEDIR':
        encodeEmpty(reply, unique)
        return
      case 'ACCESS':
        this.#access(nodeid, request.mask)
        encodeEmpty(reply, unique)
        return
      case 'STATFS':
        this.#statfs(unique, reply)
        return
      default:
        if (this.#changes === undefined) throw new FileSystemError(CHANGES.has(request.op) ? 'EROFS' : 'ENOSYS')
        this.#give(this.#changes.answer(request, reply))
        return
    }
  }

  /** Notes that the kernel counts a lookup of a node with the answer. */
  #give(node: NodeId | undefined): void {
    if (this.#writable === undefined || node === undefined) return
    this.#writable.remember(node)
    this.#given.push(node)
  }

  #lookup({ header, name }: RequestOf<'LOOKUP'>, parent: NodeId, reply: Writer): void {
    const { negativeTimeout } = this.#settings
    const found = this.#filesystem.lookup(parent, name)
    if (found !== undefined) {
      encodeEntry(reply, header.unique, this.#replies.entry(found))
      this.#give(found.nodeid)
    } else if (negativeTimeout === 0) encodeError(reply, header.unique, constants.errno.ENOENT)
    // Node 0 is a negative entry (fs/fuse/dir.c, fuse_lookup_name).
    else encodeEntry(reply, header.unique, { ...ABSENT, entryValid: negativeTimeout })
  }

  #read(request: RequestOf<'READ'>, nodeid: NodeId, reply: Writer): undefined | Promise<(reply: Writer) => void> {
    const { header, fh, offset, size } = request
    if (fh !== nodeid) throw new FileSystemError('ESTALE')
    const bytes = this.#filesystem.read(nodeid, Number(offset), size)
    if (bytes instanceof Promise)
      return bytes.then((later) => (free) => {
        encodeBytes(free, header.unique, later)
      })
    encodeBytes(reply, header.unique, bytes)
    return undefined
  }

  #readdir({ op, header, fh, offset, size }: RequestOf<'READDIR' | 'READDIRPLUS'>, nodeid: NodeId, reply: Writer): void {
    if (fh !== nodeid) throw new FileSystemError('ESTALE')
    const entries = this.#filesystem.readdir(nodeid, Number(offset))
    beginDirectory(reply, header.unique)
    for (const entry of entries) if (!this.#add(op, reply, entry, size)) break
    endDirectory(reply)
  }

  #add(op: 'READDIR' | 'READDIRPLUS', reply: Writer, { name, attributes, offset: next }: DirectoryEntry, size: number): boolean {
    const offset = BigInt(next)
    const type = (attributes.mode & S_IFMT) >> 12
    const dirent = { nodeid: attributes.nodeid, offset, type, name }
    if (op === 'READDIR') return addEntry(reply, dirent, size)
    // Node 0 makes no dentry: `.` and `..` are none (fs/fuse/readdir.c, fuse_direntplus_link).
    const own = name === '.' || name === '..'
    const entry: EntryReply = own
      ? { nodeid: 0n, generation: 0n, entryValid: 0, attrValid: 0, attributes: this.#replies.of(attributes) }
      : this.#replies.entry(attributes)
    const added = addEntryPlus(reply, { ...entry, offset, type, name }, size)
    if (added && !own) this.#give(attributes.nodeid)
    return added
  }

  #access(nodeid: NodeId, mask: number): void {
    // With default_permissions the kernel asks only for access(2) of a file system that has its own rules.
    if (this.#writable !== undefined) throw new FileSystemError('ENOSYS')
    const { mode } = this.#filesystem.getattr(nodeid)
    if ((mask & W_OK) !== 0) throw new FileSystemError('EROFS')
    if ((mask & X_OK) !== 0 && (mode & S_IFMT) !== S_IFDIR && (this.#replies.mode(mode) & EXECUTE) === 0)
      throw new FileSystemError('EACCES')
  }

  #statfs(unique: bigint, reply: Writer): void {
    const { blocksFree, blockSize, ...rest } = this.#filesystem.statfs()
    encodeStatfs(reply, unique, { ...rest, blocksFree, blocksAvailable: blocksFree, blockSize, fragmentSize: blockSize })
  }
}

const NOTHING: ReplyAttributes = {
  nodeid: 0n,
  mode: 0,
  nlink: 0,
  uid: 0,
  gid: 0,
  size: 0,
  blocks: 0,
  atime: 0,
  mtime: 0,
  ctime: 0,
  rdev: 0,
  blksize: 0,
  flags: 0,
}

const ABSENT: EntryReply = { nodeid: 0n, generation: 0n, entryValid: 0, attrValid: 0, attributes: NOTHING }
