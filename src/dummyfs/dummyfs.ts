import { constants } from 'node:fs'
import {
  type Attributes,
  type DirectoryEntry,
  type FileSystem,
  FileSystemError,
  type NodeId,
  ROOT_ID,
  type Statistics,
} from '../fuse/filesystem.ts'
import { FILE_NAME, GREETING } from './greeting.ts'

const FILE_ID = 2n as NodeId
/** Bytes, as statfs(2) tells. */
const NAME_LENGTH = 255
const CHANGING = constants.O_WRONLY | constants.O_RDWR | constants.O_TRUNC | constants.O_APPEND

const ROOT: Attributes = {
  nodeid: ROOT_ID,
  mode: constants.S_IFDIR | 0o755,
  nlink: 2,
  uid: 0,
  gid: 0,
  size: 0,
  blocks: 0,
  mtime: 0,
}

/** The tree of the original project's dummy-fuse: one directory with one file of 13 bytes, from 1970. */
export class DummyFs implements FileSystem {
  readonly #content = GREETING
  readonly #file: Attributes = {
    nodeid: FILE_ID,
    mode: constants.S_IFREG | 0o444,
    nlink: 1,
    uid: 0,
    gid: 0,
    size: this.#content.length,
    blocks: 0,
    mtime: 0,
  }

  lookup(parent: NodeId, name: string): Attributes | undefined {
    if (parent !== ROOT_ID) throw new FileSystemError(parent === FILE_ID ? 'ENOTDIR' : 'ESTALE')
    if (Buffer.byteLength(name) > NAME_LENGTH) throw new FileSystemError('ENAMETOOLONG')
    return name === FILE_NAME ? this.#file : undefined
  }

  getattr(node: NodeId): Attributes {
    if (node === ROOT_ID) return ROOT
    if (node === FILE_ID) return this.#file
    throw new FileSystemError('ESTALE')
  }

  readdir(node: NodeId, after = 0): readonly DirectoryEntry[] {
    if (node !== ROOT_ID) throw new FileSystemError(node === FILE_ID ? 'ENOTDIR' : 'ESTALE')
    const entries = [
      { name: '.', offset: 1, attributes: ROOT },
      { name: '..', offset: 2, attributes: ROOT },
      { name: FILE_NAME, offset: 3, attributes: this.#file },
    ]
    return entries.slice(after)
  }

  open(node: NodeId, flags: number): void {
    this.getattr(node)
    if ((flags & CHANGING) !== 0) throw new FileSystemError('EROFS')
  }

  read(node: NodeId, offset: number, size: number): Uint8Array {
    if (node === ROOT_ID) throw new FileSystemError('EISDIR')
    this.getattr(node)
    return this.#content.subarray(offset, offset + size)
  }

  /** One block that is in use, so that df(1), which leaves out file systems of no size, shows it. */
  statfs(): Statistics {
    return { blockSize: 4096, blocks: 1, blocksFree: 0, files: 2, filesFree: 0, nameLength: NAME_LENGTH }
  }
}
