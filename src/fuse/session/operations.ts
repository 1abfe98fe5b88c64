import { constants as fsConstants } from 'node:fs'
import { constants } from 'node:os'
import { type Attributes, type DirectoryEntry, type FileSystem, FileSystemError, type NodeId } from '../filesystem.ts'
import { addEntry, addEntryPlus, beginDirectory, endDirectory } from '../protocol/directory.ts'
import { encodeAttr, encodeBytes, encodeEmpty, encodeEntry, encodeError, encodeOpen, encodeStatfs } from '../protocol/replies.ts'
import type { Request, RequestOf } from '../protocol/requests.ts'
import type { Attributes as ReplyAttributes, EntryOut as EntryReply } from '../protocol/structs.ts'
import type { Writer } from '../protocol/writer.ts'
import type { SessionSettings } from './mount-options.ts'

const { S_IFDIR, S_IFMT, S_IXUSR, S_IXGRP, S_IXOTH, W_OK, X_OK } = fsConstants
const EXECUTE = S_IXUSR | S_IXGRP | S_IXOTH
const ALL = 0o777

/** Requests that would change the file system. They are refused with EROFS. */
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
])

/** Answers requests out of a file system of nodes. A handle is its node's id, so that it means the same to every successor. */
export class Operations {
  readonly #filesystem: FileSystem
  readonly #settings: SessionSettings

  constructor(filesystem: FileSystem, settings: SessionSettings) {
    this.#filesystem = filesystem
    this.#settings = settings
  }

  /**
   * Encodes the answer into `reply`, or returns a promise of what encodes it. Throws FileSystemError with the errno to answer; ENOSYS for
   * what this file system has no notion of, after which the kernel asks no more.
   */
  answer(request: Request, reply: Writer): undefined | Promise<(reply: Writer) => void> {
    const { unique, uid } = request.header
    const nodeid = request.header.nodeid as NodeId
    if (this.#settings.allowRoot && uid !== 0 && !OF_THE_OPENED.has(request.op)) throw new FileSystemError('EACCES')
    switch (request.op) {
      case 'LOOKUP':
        this.#lookup(request, nodeid, reply)
        return
      case 'GETATTR':
        encodeAttr(reply, unique, this.#settings.attrTimeout, this.#attributes(this.#filesystem.getattr(nodeid)))
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
        throw new FileSystemError(CHANGES.has(request.op) ? 'EROFS' : 'ENOSYS')
    }
  }

  #lookup({ header, name }: RequestOf<'LOOKUP'>, parent: NodeId, reply: Writer): void {
    const { negativeTimeout } = this.#settings
    const found = this.#filesystem.lookup(parent, name)
    if (found !== undefined) encodeEntry(reply, header.unique, this.#entry(found))
    else if (negativeTimeout === 0) encodeError(reply, header.unique, constants.errno.ENOENT)
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

  /** An offset is the number of entries before it. */
  #readdir({ op, header, fh, offset, size }: RequestOf<'READDIR' | 'READDIRPLUS'>, nodeid: NodeId, reply: Writer): void {
    if (fh !== nodeid) throw new FileSystemError('ESTALE')
    const entries = this.#filesystem.readdir(nodeid)
    beginDirectory(reply, header.unique)
    for (let index = Number(offset); index < entries.length; index++) {
      const entry = entries[index]
      if (entry === undefined || !this.#add(op, reply, entry, BigInt(index + 1), size)) break
    }
    endDirectory(reply)
  }

  #add(op: 'READDIR' | 'READDIRPLUS', reply: Writer, { name, attributes }: DirectoryEntry, offset: bigint, size: number): boolean {
    const type = (attributes.mode & S_IFMT) >> 12
    const dirent = { nodeid: attributes.nodeid, offset, type, name }
    if (op === 'READDIR') return addEntry(reply, dirent, size)
    // Node 0 makes no dentry: `.` and `..` are none (fs/fuse/readdir.c, fuse_direntplus_link).
    const own = name === '.' || name === '..'
    const entry: EntryReply = own
      ? { nodeid: 0n, generation: 0n, entryValid: 0, attrValid: 0, attributes: this.#attributes(attributes) }
      : this.#entry(attributes)
    return addEntryPlus(reply, { ...entry, offset, type, name }, size)
  }

  #access(nodeid: NodeId, mask: number): void {
    const { mode } = this.#filesystem.getattr(nodeid)
    if ((mask & W_OK) !== 0) throw new FileSystemError('EROFS')
    if ((mask & X_OK) !== 0 && (mode & S_IFMT) !== S_IFDIR && (this.#mode(mode) & EXECUTE) === 0)
      throw new FileSystemError('EACCES')
  }

  #statfs(unique: bigint, reply: Writer): void {
    const { blocksFree, blockSize, ...rest } = this.#filesystem.statfs()
    encodeStatfs(reply, unique, { ...rest, blocksFree, blocksAvailable: blocksFree, blockSize, fragmentSize: blockSize })
  }

  #entry(attributes: Attributes): EntryReply {
    const { entryTimeout, attrTimeout } = this.#settings
    return {
      nodeid: attributes.nodeid,
      generation: 0n,
      entryValid: entryTimeout,
      attrValid: attrTimeout,
      attributes: this.#attributes(attributes),
    }
  }

  #attributes({ nodeid, mode, nlink, uid, gid, size, blocks, mtime }: Attributes): ReplyAttributes {
    const { uid: owner = uid, gid: group = gid } = this.#settings
    return {
      nodeid,
      mode: this.#mode(mode),
      nlink,
      uid: owner,
      gid: group,
      size,
      blocks,
      atime: mtime,
      mtime,
      ctime: mtime,
      rdev: 0,
      blksize: 4096,
      flags: 0,
    }
  }

  #mode(mode: number): number {
    const { umask } = this.#settings
    return umask === undefined ? mode : (mode & S_IFMT) | (ALL & ~umask)
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
