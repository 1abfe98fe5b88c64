import { constants } from 'node:os'
import { FOPEN, OPCODE } from '../fuse/protocol/constants.ts'
import type { Handle, HandleTable } from './handles.ts'
import type { HiddenFiles } from './hidden-files.ts'
import type { KernelReplies } from './kernel-replies.ts'
import { ATTR, ENTRY, foundIn, OPEN_SIZE, OUT, STATX } from './messages.ts'
import type { Found, Node, NodeTable } from './nodes.ts'
import type { Pending } from './pending.ts'
import type { Rediscovery } from './rediscovery.ts'

const { EIO, ENOENT, ENOSYS, ESTALE } = constants.errno

/**
 * The flags of a daemon's answer to OPEN and OPENDIR that the kernel does not get. With CACHE_DIR it puts the listings of several readers together in its cache by
 * their places (fs/fuse/readdir.c). A place is good within the snapshot of one reader alone.
 */
const NOT_TAKEN = FOPEN.CACHE_DIR

/** The dependencies of {@link Answers}. */
interface AnswersParts {
  readonly nodes: NodeTable
  readonly handles: HandleTable
  readonly rediscovery: Rediscovery
  readonly hidden: HiddenFiles
  readonly replies: KernelReplies
}

/** Changes a daemon's answers into the kernel's, and notes what they say of names, nodes and open files. */
export class Answers {
  readonly #nodes: NodeTable
  readonly #handles: HandleTable
  readonly #rediscovery: Rediscovery
  readonly #hidden: HiddenFiles
  readonly #replies: KernelReplies

  constructor({ nodes, handles, rediscovery, hidden, replies }: AnswersParts) {
    this.#nodes = nodes
    this.#handles = handles
    this.#rediscovery = rediscovery
    this.#hidden = hidden
    this.#replies = replies
  }

  /** Answers a request with what the daemon has sent, or with an error (a positive errno). */
  give(pending: Pending, message: Buffer, error: number): void {
    if (pending.opcode === OPCODE.RELEASE || pending.opcode === OPCODE.RELEASEDIR) {
      const handle = this.#handles.byId(pending.fh ?? 0n)
      if (handle !== undefined) this.closed(handle)
    }
    if (error === 0) this.#noteNames(pending)
    const { reply } = pending.shape
    if (reply === 'created') this.#created(pending, message, error)
    else if (reply === 'open' && error === 0 && message.length < OUT.body + OPEN_SIZE) this.#replies.fail(pending, EIO)
    else if (reply === 'open' && (error === 0 || error === ENOSYS))
      this.#opened(pending, error === 0 ? message.subarray(OUT.body) : undefined)
    else if (reply === 'entry') this.#lookedUp(pending, message, error)
    else {
      if (error === 0 && (reply === 'attr' || reply === 'statx'))
        this.#attributes(pending, message, reply === 'attr' ? ATTR : STATX)
      this.#replies.pass(pending, message, error)
    }
  }

  /** Nobody uses an open file any more. */
  closed(handle: Handle): void {
    this.#handles.remove(handle)
    this.#hidden.closed(handle.node)
    this.#nodes.dropUnused(handle.node)
  }

  #attributes(pending: Pending, message: Buffer, { ino, nlink, size }: typeof ATTR | typeof STATX): void {
    const node = this.#nodes.byId(pending.nodeid)
    if (node === undefined || message.length < OUT.body + size) return
    message.writeBigUInt64LE(this.#nodes.inoOf(node, message.readBigUInt64LE(OUT.body + ino)), OUT.body + ino)
    const links = message.readUInt32LE(OUT.body + nlink)
    if (links > 0 && this.#hidden.has(node)) message.writeUInt32LE(links - 1, OUT.body + nlink)
  }

  #lookedUp(pending: Pending, message: Buffer, error: number): void {
    const parent = this.#nodes.byId(pending.nodeid)
    if (parent === undefined) {
      this.#replies.fail(pending, ESTALE)
      return
    }
    const [name] = pending.names
    const entry = message.subarray(OUT.body)
    const found = error === 0 ? foundIn(entry) : undefined
    if (found === undefined) {
      if (pending.opcode === OPCODE.LOOKUP && (error === 0 || error === ENOENT)) this.#nodes.absent(parent, name)
      this.#replies.pass(pending, message, error)
      return
    }
    const node = this.#enter(parent, name, found, entry)
    this.#nodes.told(node)
    if (!this.#replies.pass(pending, message, 0)) this.#nodes.forgotten(node, 1)
  }

  /** Changes what a daemon says of a name into what the kernel is told. */
  #enter(parent: Node, name: string, found: Found, entry: Buffer): Node {
    const node = this.#nodes.found(parent, name, found)
    entry.writeBigUInt64LE(node.id, ENTRY.nodeid)
    entry.writeBigUInt64LE(0n, ENTRY.generation)
    entry.writeBigUInt64LE(this.#nodes.inoOf(node, entry.readBigUInt64LE(ENTRY.ino)), ENTRY.ino)
    return node
  }

  #created(pending: Pending, message: Buffer, error: number): void {
    const parent = this.#nodes.byId(pending.nodeid)
    const body = message.subarray(OUT.body)
    const found = error === 0 && body.length >= ENTRY.size + OPEN_SIZE ? foundIn(body) : undefined
    if (parent === undefined || found === undefined) {
      this.#replies.fail(pending, error === 0 ? EIO : error)
      return
    }
    const [name] = pending.names
    const node = this.#enter(parent, name, found, body)
    const handle = this.#handles.add(node, pending.identity, pending.openFlags)
    this.#handles.opened(handle, found.daemonId, body.readBigUInt64LE(ENTRY.size))
    body.writeBigUInt64LE(handle.id, ENTRY.size)
    this.#nodes.told(node)
    if (this.#replies.pass(pending, message, 0)) return
    this.#unlearnt(handle)
    this.#nodes.forgotten(node, 1)
  }

  /** `body`: struct fuse_open_out; undefined for a daemon that knows no handles. */
  #opened(pending: Pending, body: Buffer | undefined): void {
    const node = this.#nodes.byId(pending.nodeid)
    if (node === undefined) {
      this.#replies.fail(pending, ESTALE)
      return
    }
    const handle = this.#handles.add(node, pending.identity, pending.openFlags)
    this.#handles.opened(handle, pending.sentTo, body?.readBigUInt64LE(0))
    const { buffer } = this.#replies
    buffer.writeBigUInt64LE(handle.id, OUT.body)
    buffer.writeUInt32LE((body?.readUInt32LE(8) ?? FOPEN.KEEP_CACHE) & ~NOT_TAKEN, OUT.body + 8)
    buffer.writeUInt32LE(0, OUT.body + 12)
    if (!this.#replies.respond(pending, OUT.body + OPEN_SIZE, 0)) this.#unlearnt(handle)
  }

  /** Who opened the file has been killed before it has learnt of it. */
  #unlearnt(handle: Handle): void {
    this.#rediscovery.release(handle)
    this.closed(handle)
  }

  /** Keeps up with names that a request has taken away or moved. */
  #noteNames(pending: Pending): void {
    if (!pending.takesNames) return
    const parent = this.#nodes.byId(pending.nodeid)
    const target = this.#nodes.byId(pending.otherNodeid ?? 0n)
    const [name, newName] = pending.names
    if (parent === undefined) return
    if (pending.shape.check === 'gone') this.#nodes.absent(parent, name)
    else if (target !== undefined) this.#nodes.moved(parent, name, target, newName, pending.isExchange)
  }
}
