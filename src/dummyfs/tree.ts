import { constants } from 'node:fs'
import { FileSystemError, type NodeId } from '../fuse/filesystem.ts'
import { Contents } from './contents.ts'

const { S_IFDIR, S_IFMT } = constants

/** A name in a directory. `cookie`: larger than that of each name that was made before. */
interface Entry {
  readonly cookie: number
  readonly node: Node
}

/** The names of a directory. A name keeps its cookie, so a reader that goes on after a cookie gets each other name once, whatever is made and removed. */
export class Directory {
  /** Undefined for the root. */
  parent: Node | undefined
  /** Directories among its entries. */
  children = 0
  readonly #entries = new Map<string, Entry>()
  #cookie = 0

  constructor(parent: Node | undefined) {
    this.parent = parent
  }

  get empty(): boolean {
    return this.#entries.size === 0
  }

  get(name: string): Node | undefined {
    return this.#entries.get(name)?.node
  }

  /** Adds a name that is not there. */
  add(name: string, node: Node): void {
    this.#entries.set(name, { cookie: ++this.#cookie, node })
    if (isDirectory(node)) this.children++
  }

  /** Puts another node in a name's place. */
  replace(name: string, node: Node): void {
    this.remove(name)
    this.add(name, node)
  }

  remove(name: string): void {
    const node = this.get(name)
    if (node !== undefined && isDirectory(node)) this.children--
    this.#entries.delete(name)
  }

  /** The names after a cookie, in the order of their cookies. */
  *after(cookie: number): Generator<readonly [name: string, entry: Entry]> {
    for (const named of this.#entries) if (named[1].cookie > cookie) yield named
  }
}

/** What a node holds: a file's bytes, a directory's names, or a symbolic link's target. Other types hold nothing. */
type Body = Contents | Directory | { readonly target: string } | undefined

/** A file of any type. Times are nanoseconds since 1970. */
export interface Node {
  readonly id: NodeId
  readonly body: Body
  readonly rdev: number
  /** Type and permission bits. */
  mode: number
  uid: number
  gid: number
  /** Names in directories. */
  names: number
  atime: bigint
  mtime: bigint
  ctime: bigint
  /** How often the kernel was given the node, less what it has forgotten. */
  lookups: bigint
}

/** The names of a directory's node. Throws FileSystemError ENOTDIR for any other. */
export function directoryOf({ body }: Node): Directory {
  if (body instanceof Directory) return body
  throw new FileSystemError('ENOTDIR')
}

/** The bytes of a regular file. Throws FileSystemError EISDIR for a directory, EINVAL for any other. */
export function contentsOf({ body }: Node): Contents {
  if (body instanceof Contents) return body
  throw new FileSystemError(body instanceof Directory ? 'EISDIR' : 'EINVAL')
}

export function isDirectory({ mode }: Node): boolean {
  return (mode & S_IFMT) === S_IFDIR
}
