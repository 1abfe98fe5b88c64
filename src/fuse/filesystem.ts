import { constants } from 'node:os'

/** A node's number as the kernel knows it. The root's is 1 (FUSE_ROOT_ID). */
export type NodeId = bigint & { readonly __brand: 'NodeId' }

export const ROOT_ID = 1n as NodeId

/** A time since 1970: seconds, or nanoseconds where it is a bigint. */
type Time = number | bigint

/** The attributes of a node, as stat(2) has them. */
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
  readonly mtime: Time
  /** As `mtime` if it is missing. */
  readonly atime?: Time
  readonly ctime?: Time
  /** 0 if it is missing. */
  readonly rdev?: number
}

export interface DirectoryEntry {
  readonly name: string
  readonly attributes: Attributes
  /** Where a reader goes on after this entry: more than 0, and more than that of each entry before. */
  readonly offset: number
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
 * A file system as every backend drives it. A backend refuses each change with EROFS, unless it is a {@link WritableFileSystem}.
 * Node ids are deterministic: the same node has the same id in every process, so that a successor can go on serving it; or they are never used again.
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
  /** The entries after an offset, with `.` and `..`. */
  readdir(node: NodeId, after?: number): Iterable<DirectoryEntry>
  /** `flags` as in open(2). EROFS if they ask for more than reading. */
  open(node: NodeId, flags: number): void
  /** At most `size` bytes from `offset` on; fewer only at the end of the file. */
  read(node: NodeId, offset: number, size: number): Uint8Array | Promise<Uint8Array>
  statfs(): Statistics
}

/** A node to be made. */
export interface NewNode {
  /** Type and permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** For a device. */
  readonly rdev?: number
}

/** What setattr changes; the rest stays. Times are nanoseconds since 1970. */
export interface AttributeChanges {
  /** Permission bits. */
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  /** Bytes. */
  readonly size?: number
  readonly atime?: bigint | 'now'
  readonly mtime?: bigint | 'now'
}

/**
 * A file system that can be changed. The kernel checks permissions (default_permissions). A node without a name stays as long as the kernel uses it: a
 * backend tells how often the kernel was given it ({@link remember}) and when it has forgotten it.
 */
export interface WritableFileSystem extends FileSystem {
  readonly writable: true
  readlink(node: NodeId): string
  /** Makes a regular file, or returns the file of that name; EEXIST with O_EXCL in `flags`, which are those of open(2). */
  create(parent: NodeId, name: string, wanted: NewNode, flags: number): Attributes
  mknod(parent: NodeId, name: string, wanted: NewNode): Attributes
  mkdir(parent: NodeId, name: string, wanted: NewNode): Attributes
  symlink(parent: NodeId, name: string, target: string, owner: Pick<NewNode, 'uid' | 'gid'>): Attributes
  link(node: NodeId, parent: NodeId, name: string): Attributes
  unlink(parent: NodeId, name: string): void
  rmdir(parent: NodeId, name: string): void
  /** `flags` as in renameat2(2). */
  rename(parent: NodeId, name: string, newParent: NodeId, newName: string, flags: number): void
  setattr(node: NodeId, changes: AttributeChanges): Attributes
  /** How many bytes were written: fewer than there are only where the space ends. ENOSPC if there is none. */
  write(node: NodeId, offset: number, data: Uint8Array): number
  /** `mode` as in fallocate(2). */
  fallocate(node: NodeId, mode: number, offset: number, length: number): void
  /** The kernel was given a node once more. */
  remember(node: NodeId): void
  /** The kernel has forgotten a node that many times. */
  forget(node: NodeId, lookups: bigint): void
}

/** Whether a file system can be changed. */
export function isWritable(filesystem: FileSystem): filesystem is WritableFileSystem {
  return 'writable' in filesystem
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
