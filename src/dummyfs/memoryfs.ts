import { constants } from 'node:fs'
import {
  type AttributeChanges,
  type Attributes,
  type DirectoryEntry,
  FileSystemError,
  type NewNode,
  type NodeId,
  ROOT_ID,
  type Statistics,
  type WritableFileSystem,
} from '../fuse/filesystem.ts'
import { Contents } from './contents.ts'
import { FILE_NAME, GREETING } from './greeting.ts'
import { BLOCK, Space } from './space.ts'
import { contentsOf, Directory, directoryOf, isDirectory, type Node } from './tree.ts'

const { O_EXCL, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } = constants

/** inode(7). */
const S_ISGID = 0o2000

/** renameat2(2). */
const RENAME_NOREPLACE = 1
const RENAME_EXCHANGE = 2

/** fallocate(2). */
const FALLOC_FL_KEEP_SIZE = 0x01
const FALLOC_FL_PUNCH_HOLE = 0x02
const FALLOC_FL_ZERO_RANGE = 0x10

/** Bytes of a name, and of a symbolic link's target (include/uapi/linux/limits.h). */
const NAME_MAX = 255
const PATH_MAX = 4096

/** Names that one file may have. */
const LINK_MAX = 65_000

/** Cookies of `.` and `..`; those of other names come after. */
const DOTS = 2

/** What stands for bytes of a name that are not UTF-8, once it is decoded. */
const UNDECODED = '\ufffd'

/** How a file system in memory begins. */
export interface MemoryFsOptions {
  /** Bytes of all contents. */
  readonly size: number
  /** Owner and permission bits that the first nodes lack. */
  readonly uid: number
  readonly gid: number
  readonly umask: number
  /**
   * The node ids are `idBase` and more. It must be another one than that of each earlier file system of the same session: then a node of an earlier one is
   * unknown here (ESTALE), and never another file.
   */
  readonly idBase: bigint
  /** Whether it begins with the file of the read-only tree. */
  readonly greeting: boolean
}

/** A file system in memory that can be written to. All is lost when its process ends. Permissions are the kernel's to check. */
export class MemoryFs implements WritableFileSystem {
  readonly writable = true
  readonly #space: Space
  readonly #nodes = new Map<NodeId, Node>()
  readonly #root: Node
  #lastId: bigint

  constructor({ size, uid, gid, umask, idBase, greeting }: MemoryFsOptions) {
    this.#space = new Space(size)
    this.#lastId = idBase < ROOT_ID ? ROOT_ID : idBase
    this.#root = this.#node(ROOT_ID, { mode: S_IFDIR | (0o777 & ~umask), uid, gid }, new Directory(undefined))
    if (!greeting) return
    const { nodeid } = this.create(ROOT_ID, FILE_NAME, { mode: S_IFREG | (0o666 & ~umask), uid, gid }, 0)
    this.write(nodeid, 0, GREETING)
  }

  lookup(parent: NodeId, name: string): Attributes | undefined {
    const found = this.#directory(parent).get(checked(name))
    return found === undefined ? undefined : this.#attributes(found)
  }

  getattr(node: NodeId): Attributes {
    return this.#attributes(this.#known(node))
  }

  *readdir(node: NodeId, after = 0): Generator<DirectoryEntry> {
    const directory = this.#known(node)
    const entries = directoryOf(directory)
    if (after < 1) yield { name: '.', offset: 1, attributes: this.#attributes(directory) }
    if (after < 2) yield { name: '..', offset: 2, attributes: this.#attributes(entries.parent ?? directory) }
    for (const [name, { cookie, node: found }] of entries.after(Math.max(after - DOTS, 0)))
      yield { name, offset: cookie + DOTS, attributes: this.#attributes(found) }
  }

  open(node: NodeId): void {
    this.#known(node)
  }

  read(node: NodeId, offset: number, size: number): Uint8Array {
    return contentsOf(this.#known(node)).read(offset, size)
  }

  readlink(node: NodeId): string {
    const { body } = this.#known(node)
    if (body === undefined || !('target' in body)) throw new FileSystemError('EINVAL')
    return body.target
  }

  statfs(): Statistics {
    const { blocks, blocksFree, nodes, nodesFree } = this.#space
    return { blockSize: BLOCK, blocks, blocksFree, files: nodes, filesFree: nodesFree, nameLength: NAME_MAX }
  }

  create(parent: NodeId, name: string, wanted: NewNode, flags: number): Attributes {
    const found = this.#directory(parent).get(checked(name))
    if (found === undefined) return this.mknod(parent, name, { ...wanted, mode: (wanted.mode & ~S_IFMT) | S_IFREG })
    if ((flags & O_EXCL) !== 0) throw new FileSystemError('EEXIST')
    if (isDirectory(found)) throw new FileSystemError('EISDIR')
    return this.#attributes(found)
  }

  mknod(parent: NodeId, name: string, wanted: NewNode): Attributes {
    return this.#make(parent, name, wanted, () => ((wanted.mode & S_IFMT) === S_IFREG ? new Contents(this.#space) : undefined))
  }

  mkdir(parent: NodeId, name: string, wanted: NewNode): Attributes {
    const mode = (wanted.mode & ~S_IFMT) | S_IFDIR
    return this.#make(parent, name, { ...wanted, mode }, (above) => new Directory(above))
  }

  symlink(parent: NodeId, name: string, target: string, { uid, gid }: Pick<NewNode, 'uid' | 'gid'>): Attributes {
    if (target === '') throw new FileSystemError('ENOENT')
    if (Buffer.byteLength(target) >= PATH_MAX) throw new FileSystemError('ENAMETOOLONG')
    if (target.includes(UNDECODED)) throw new FileSystemError('EILSEQ')
    this.#space.takeBlocks(1)
    try {
      return this.#make(parent, name, { mode: S_IFLNK | 0o777, uid, gid }, () => ({ target }))
    } catch (error) {
      this.#space.giveBlocks(1)
      throw error
    }
  }

  link(node: NodeId, parent: NodeId, name: string): Attributes {
    const found = this.#known(node)
    const above = this.#standing(parent)
    if (isDirectory(found)) throw new FileSystemError('EPERM')
    // Its last name is gone: linkat(2) of a descriptor.
    if (found.names === 0) throw new FileSystemError('ENOENT')
    if (found.names >= LINK_MAX) throw new FileSystemError('EMLINK')
    this.#refuseTaken(above, name)
    this.#space.takeNode()
    found.names++
    directoryOf(above).add(name, found)
    found.ctime = touch(above)
    return this.#attributes(found)
  }

  unlink(parent: NodeId, name: string): void {
    const above = this.#standing(parent)
    const found = child(above, name)
    if (isDirectory(found)) throw new FileSystemError('EISDIR')
    directoryOf(above).remove(name)
    this.#unname(found, touch(above))
  }

  rmdir(parent: NodeId, name: string): void {
    const above = this.#standing(parent)
    const found = child(above, name)
    if (!directoryOf(found).empty) throw new FileSystemError('ENOTEMPTY')
    directoryOf(above).remove(name)
    this.#unname(found, touch(above))
  }

  rename(parent: NodeId, name: string, newParent: NodeId, newName: string, flags: number): void {
    if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0 || flags === (RENAME_NOREPLACE | RENAME_EXCHANGE))
      throw new FileSystemError('EINVAL')
    const [from, to] = [this.#standing(parent), this.#standing(newParent)]
    const moved = child(from, name)
    const there = directoryOf(to).get(checkedNew(newName))
    if (isDirectory(moved)) refuseInside(to, moved)
    if (flags === RENAME_EXCHANGE) {
      if (there === undefined) throw new FileSystemError('ENOENT')
      if (isDirectory(there)) refuseInside(from, there)
      this.#exchange(from, name, to, newName)
      return
    }
    if (there !== undefined) {
      if (flags === RENAME_NOREPLACE) throw new FileSystemError('EEXIST')
      // Two names of one file: both stay (rename(2)).
      if (there === moved) return
      refuseReplacing(there, moved)
    }
    const now = touch(from)
    directoryOf(from).remove(name)
    if (there === undefined) directoryOf(to).add(newName, moved)
    else {
      directoryOf(to).replace(newName, moved)
      this.#unname(there, now)
    }
    arrive(moved, to, now)
  }

  setattr(node: NodeId, { mode, uid, gid, size, atime, mtime }: AttributeChanges): Attributes {
    const found = this.#known(node)
    const now = wallClock()
    if (size !== undefined) {
      contentsOf(found).truncate(size)
      found.mtime = now
    }
    if (mode !== undefined) found.mode = (found.mode & S_IFMT) | (mode & ~S_IFMT)
    if (uid !== undefined) found.uid = uid
    if (gid !== undefined) found.gid = gid
    if (atime !== undefined) found.atime = atime === 'now' ? now : atime
    if (mtime !== undefined) found.mtime = mtime === 'now' ? now : mtime
    found.ctime = now
    return this.#attributes(found)
  }

  write(node: NodeId, offset: number, data: Uint8Array): number {
    const found = this.#known(node)
    const written = contentsOf(found).write(offset, data)
    if (written > 0) found.ctime = found.mtime = wallClock()
    return written
  }

  fallocate(node: NodeId, mode: number, offset: number, length: number): void {
    const found = this.#known(node)
    const contents = contentsOf(found)
    const keepSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0
    switch (mode & ~FALLOC_FL_KEEP_SIZE) {
      case 0:
        contents.allocate(offset, length, keepSize)
        break
      case FALLOC_FL_PUNCH_HOLE:
        if (!keepSize) throw new FileSystemError('EOPNOTSUPP')
        contents.punch(offset, length)
        break
      case FALLOC_FL_ZERO_RANGE:
        contents.allocate(offset, length, keepSize)
        contents.zero(offset, length)
        break
      default:
        throw new FileSystemError('EOPNOTSUPP')
    }
    found.ctime = found.mtime = wallClock()
  }

  remember(node: NodeId): void {
    const found = this.#nodes.get(node)
    if (found !== undefined) found.lookups++
  }

  forget(node: NodeId, lookups: bigint): void {
    const found = this.#nodes.get(node)
    if (found === undefined) return
    found.lookups = found.lookups > lookups ? found.lookups - lookups : 0n
    this.#dropUnused(found)
  }

  #make(parent: NodeId, name: string, wanted: NewNode, body: (above: Node) => Node['body']): Attributes {
    const above = this.#standing(parent)
    this.#refuseTaken(above, name)
    this.#space.takeNode()
    const made = this.#node(++this.#lastId as NodeId, inherited(wanted, above), body(above))
    made.names = 1
    directoryOf(above).add(name, made)
    touch(above)
    return this.#attributes(made)
  }

  #node(id: NodeId, { mode, uid, gid, rdev = 0 }: NewNode, body: Node['body']): Node {
    const now = wallClock()
    const node: Node = { id, body, rdev, mode, uid, gid, names: 0, atime: now, mtime: now, ctime: now, lookups: 0n }
    this.#nodes.set(id, node)
    return node
  }

  /** Puts two names' nodes in each other's place. */
  #exchange(from: Node, name: string, to: Node, newName: string): void {
    const [moved, there] = [child(from, name), child(to, newName)]
    const now = touch(from)
    directoryOf(from).replace(name, there)
    directoryOf(to).replace(newName, moved)
    arrive(moved, to, now)
    arrive(there, from, now)
  }

  /** A node has lost a name. */
  #unname(node: Node, now: bigint): void {
    node.names--
    node.ctime = now
    // The room of its last name is the node's own, which stays as long as the kernel uses it.
    if (node.names > 0) this.#space.giveNodes(1)
    else this.#dropUnused(node)
  }

  #dropUnused(node: Node): void {
    if (node.names > 0 || node.lookups > 0n || node === this.#root) return
    this.#nodes.delete(node.id)
    this.#space.giveNodes(1)
    if (node.body instanceof Contents) node.body.clear()
    else if (node.body !== undefined && 'target' in node.body) this.#space.giveBlocks(1)
  }

  #known(id: NodeId): Node {
    const node = this.#nodes.get(id)
    if (node === undefined) throw new FileSystemError('ESTALE')
    return node
  }

  #directory(id: NodeId): Directory {
    return directoryOf(this.#known(id))
  }

  /** A directory that has not been removed. */
  #standing(id: NodeId): Node {
    const node = this.#known(id)
    directoryOf(node)
    if (node.names === 0 && node !== this.#root) throw new FileSystemError('ENOENT')
    return node
  }

  #refuseTaken(above: Node, name: string): void {
    if (directoryOf(above).get(checkedNew(name)) !== undefined) throw new FileSystemError('EEXIST')
  }

  #attributes(node: Node): Attributes {
    const { id, body, rdev, mode, uid, gid, names, atime, mtime, ctime } = node
    const removed = names === 0 && node !== this.#root
    const nlink = body instanceof Directory ? (removed ? 0 : body.children + 2) : names
    const size = body instanceof Contents ? body.size : body !== undefined && 'target' in body ? Buffer.byteLength(body.target) : 0
    const blocks = body instanceof Contents ? (body.blocks * BLOCK) / 512 : 0
    return { nodeid: id, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime }
  }
}

function child(above: Node, name: string): Node {
  const found = directoryOf(above).get(checked(name))
  if (found === undefined) throw new FileSystemError('ENOENT')
  return found
}

function checked(name: string): string {
  if (Buffer.byteLength(name) > NAME_MAX) throw new FileSystemError('ENAMETOOLONG')
  return name
}

/** Bytes that are not UTF-8 have all been decoded to one character, so two names of them could not be told apart. */
function checkedNew(name: string): string {
  if (name.includes(UNDECODED)) throw new FileSystemError('EILSEQ')
  return checked(name)
}

/** Throws FileSystemError EINVAL if a directory lies in another one, or is the same. */
function refuseInside(directory: Node, other: Node): void {
  for (let at: Node | undefined = directory; at !== undefined; at = directoryOf(at).parent)
    if (at === other) throw new FileSystemError('EINVAL')
}

function refuseReplacing(there: Node, moved: Node): void {
  if (isDirectory(moved) && !isDirectory(there)) throw new FileSystemError('ENOTDIR')
  if (!isDirectory(moved) && isDirectory(there)) throw new FileSystemError('EISDIR')
  if (isDirectory(there) && !directoryOf(there).empty) throw new FileSystemError('ENOTEMPTY')
}

/** A new node in a directory with the set-group-ID bit has the directory's group, and a new directory the bit too (inode(7)). */
function inherited(wanted: NewNode, { mode, gid }: Node): NewNode {
  if ((mode & S_ISGID) === 0) return wanted
  const isDirectoryToo = (wanted.mode & S_IFMT) === S_IFDIR
  return { ...wanted, gid, mode: isDirectoryToo ? wanted.mode | S_ISGID : wanted.mode }
}

/** A node has come to a directory. */
function arrive(node: Node, to: Node, now: bigint): void {
  node.ctime = now
  to.mtime = now
  to.ctime = now
  if (node.body instanceof Directory) node.body.parent = to
}

/** Notes a change of a directory's names. Returns the time. */
function touch(directory: Node): bigint {
  const now = wallClock()
  directory.mtime = now
  directory.ctime = now
  return now
}

function wallClock(): bigint {
  return BigInt(Date.now()) * 1_000_000n
}
