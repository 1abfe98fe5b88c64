import { type AttributeChanges, type NewNode, type NodeId, FileSystemError, type WritableFileSystem } from '../filesystem.ts'
import { FATTR } from '../protocol/constants.ts'
import { encodeAttr, encodeBytes, encodeCreate, encodeEmpty, encodeEntry, encodeWritten } from '../protocol/replies.ts'
import type { Request, RequestOf } from '../protocol/requests.ts'
import type { Writer } from '../protocol/writer.ts'
import type { AttributeReplies } from './attribute-replies.ts'
import type { SessionSettings } from './mount-options.ts'

const NANOSECONDS = 1_000_000_000n

/** Answers the requests that change a file system, and READLINK, out of one that can be changed. */
export class Changes {
  readonly #filesystem: WritableFileSystem
  readonly #settings: SessionSettings
  readonly #replies: AttributeReplies

  constructor(filesystem: WritableFileSystem, settings: SessionSettings, replies: AttributeReplies) {
    this.#filesystem = filesystem
    this.#settings = settings
    this.#replies = replies
  }

  /**
   * Encodes the answer to a request into `reply`. Returns the node that the kernel counts a lookup of with this answer, if there is one. Throws FileSystemError;
   * ENOSYS for what this file system does not have, after which the kernel does it itself or returns EOPNOTSUPP.
   */
  answer(request: Request, reply: Writer): NodeId | undefined {
    const { unique } = request.header
    const nodeid = request.header.nodeid as NodeId
    const filesystem = this.#filesystem
    switch (request.op) {
      case 'SETATTR':
        encodeAttr(reply, unique, this.#settings.attrTimeout, this.#replies.of(filesystem.setattr(nodeid, changesOf(request))))
        return undefined
      case 'READLINK':
        encodeBytes(reply, unique, Buffer.from(filesystem.readlink(nodeid)))
        return undefined
      case 'CREATE': {
        const made = filesystem.create(nodeid, request.name, newNode(request), request.flags)
        encodeCreate(reply, unique, this.#replies.entry(made), made.nodeid, this.#settings.openFlags)
        return made.nodeid
      }
      case 'MKNOD':
      case 'MKDIR':
      case 'SYMLINK':
      case 'LINK': {
        const made = this.#make(request, nodeid)
        encodeEntry(reply, unique, this.#replies.entry(made))
        return made.nodeid
      }
      case 'WRITE':
        requireHandle(request.fh, nodeid)
        encodeWritten(reply, unique, filesystem.write(nodeid, Number(request.offset), request.data))
        return undefined
      default:
        this.#change(request, nodeid)
        encodeEmpty(reply, unique)
        return undefined
    }
  }

  #make(request: RequestOf<'MKNOD' | 'MKDIR' | 'SYMLINK' | 'LINK'>, parent: NodeId): ReturnType<WritableFileSystem['mknod']> {
    const filesystem = this.#filesystem
    switch (request.op) {
      case 'MKNOD':
        return filesystem.mknod(parent, request.name, { ...newNode(request), rdev: request.rdev })
      case 'MKDIR':
        return filesystem.mkdir(parent, request.name, newNode(request))
      case 'SYMLINK':
        return filesystem.symlink(parent, request.name, request.target, request.header)
      case 'LINK':
        return filesystem.link(request.oldNodeid as NodeId, parent, request.name)
    }
  }

  /** A change that has no answer but its success. */
  #change(request: Request, nodeid: NodeId): void {
    const filesystem = this.#filesystem
    switch (request.op) {
      case 'UNLINK':
        filesystem.unlink(nodeid, request.name)
        return
      case 'RMDIR':
        filesystem.rmdir(nodeid, request.name)
        return
      case 'RENAME':
      case 'RENAME2':
        filesystem.rename(nodeid, request.name, request.newdir as NodeId, request.newName, request.flags)
        return
      case 'FALLOCATE':
        requireHandle(request.fh, nodeid)
        filesystem.fallocate(nodeid, request.mode, Number(request.offset), Number(request.length))
        return
      default:
        throw new FileSystemError('ENOSYS')
    }
  }
}

/** A handle is its node's id. */
function requireHandle(fh: bigint, nodeid: NodeId): void {
  if (fh !== nodeid) throw new FileSystemError('ESTALE')
}

/** The kernel has applied the umask. */
function newNode({ mode, header: { uid, gid } }: RequestOf<'CREATE' | 'MKNOD' | 'MKDIR'>): NewNode {
  return { mode, uid, gid }
}

function changesOf(request: RequestOf<'SETATTR'>): AttributeChanges {
  const { valid, mode, uid, gid, size, atime, atimeNsec, mtime, mtimeNsec } = request
  const has = (bit: number): boolean => (valid & bit) !== 0
  return {
    ...(has(FATTR.MODE) ? { mode } : {}),
    ...(has(FATTR.UID) ? { uid } : {}),
    ...(has(FATTR.GID) ? { gid } : {}),
    ...(has(FATTR.SIZE) ? { size: Number(size) } : {}),
    ...(has(FATTR.ATIME) ? { atime: has(FATTR.ATIME_NOW) ? 'now' : atime * NANOSECONDS + BigInt(atimeNsec) } : {}),
    ...(has(FATTR.MTIME) ? { mtime: has(FATTR.MTIME_NOW) ? 'now' : mtime * NANOSECONDS + BigInt(mtimeNsec) } : {}),
  }
}
