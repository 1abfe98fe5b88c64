import { constants } from 'node:os'

/** A node's number as the kernel knows it. The root's is 1 (FUSE_ROOT_ID). */
export type NodeId = bigint & { readonly __brand: 'NodeId' }

export const ROOT_ID = 1n as NodeId

/** The attributes of a node, as stat(2) has them. Times are seconds since 1970. */
export interface Attributes {
  readonly nodeid: NodeId
  /** Type and permission bits, as in st_mode. */
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  /** Bytes. */
  readonly size: number
  /** 512-byte units, as in st_blocks. */
  readonly blocks: number
  readonly mtime: number
}

export interface DirectoryEntry {
  readonly name: string
  readonly attributes: Attributes
}

/** What statfs(2) tells; counts of blocks are in units of `blockSize` bytes. */
export interface Statistics {
  readonly blockSize: number
  readonly blocks: number
  readonly blocksFree: number
  readonly files: number
  readonly filesFree: number
  readonly nameLength: number
}

/**
 * A file system that only serves reads, as every backend drives it; a backend refuses each change itself, with EROFS.
 * Node ids are deterministic: the same node has the same id in every process, so that a successor can go on serving it.
 * Every method may throw FileSystemError, which names the errno that the caller of the system call is to see.
 */
export interface FileSystem {
  /**
   * Undefined if there is none by that name: this is what most lookups that fail find, and an error that is thrown takes as long as a whole
   * request. ENOTDIR if the parent is no directory, ENAMETOOLONG beyond what statfs() tells.
   */
  lookup(parent: NodeId, name: string): Attributes | undefined
  /** ESTALE for a node that never was. */
  getattr(node: NodeId): Attributes
  /** All entries, with `.` and `..`. */
  readdir(node: NodeId): readonly DirectoryEntry[]
  /** `flags` as in open(2). EROFS if they ask for more than reading. */
  open(node: NodeId, flags: number): void
  /** At most `size` bytes from `offset` on; fewer only at the end of the file. */
  read(node: NodeId, offset: number, size: number): Uint8Array | Promise<Uint8Array>
  statfs(): Statistics
}

/** A failure that a system call is to return: `errno` is positive. */
export class FileSystemError extends Error {
  override readonly name = 'FileSystemError'
  readonly code: keyof typeof constants.errno
  readonly errno: number

  constructor(code: keyof typeof constants.errno) {
    super(code)
    this.code = code
    this.errno = constants.errno[code]
  }
}
