import { constants } from 'node:os'
import { OPCODE } from '../fuse/protocol/constants.ts'
import { DirectorySnapshot } from './directory-snapshot.ts'
import type { Handle, HandleTable } from './handles.ts'
import { DIRECTORY, foundIn, IN, newRequest, OPEN_SIZE } from './messages.ts'
import type { Node, NodeTable } from './nodes.ts'
import type { Own, OwnRequests } from './own-requests.ts'

const { EIO, ENOENT, ENOSYS, ESTALE } = constants.errno

/** Bytes of a listing that a daemon is asked for at once. */
const LISTING_SIZE = 32 * 1024

/** What waits until the daemon that serves knows a node or an open file. It is dropped if the daemon ends first. */
export interface Waiter {
  readonly done: () => void
  /** A positive errno. */
  readonly failed: (errno: number) => void
}

/** What is outside of {@link Rediscovery}. */
interface RediscoveryHooks {
  /** A file cannot be found again. */
  stale(): void
  /**
   * Has `act` be called when a change of names in a directory has come out which the daemon was given. Returns false if there is none. It is dropped if the daemon ends first.
   */
  afterChange(directory: Node, act: () => void): boolean
}

/** Makes known to the daemon that serves what an earlier one has told of or opened: by LOOKUP, OPEN and READDIR, when it is first needed. */
export class Rediscovery {
  readonly #nodes: NodeTable
  readonly #handles: HandleTable
  readonly #own: OwnRequests
  readonly #resolving = new Waiting<Node>()
  readonly #opening = new Waiting<Handle>()
  readonly #listing = new Waiting<Handle>()
  readonly #hooks: RediscoveryHooks

  constructor(nodes: NodeTable, handles: HandleTable, own: OwnRequests, hooks: RediscoveryHooks) {
    this.#hooks = hooks
    this.#nodes = nodes
    this.#handles = handles
    this.#own = own
  }

  /** The daemon that served has ended. */
  stop(): void {
    this.#opening.drop()
    this.#listing.drop()
    for (const node of this.#resolving.drop()) {
      node.uses--
      this.#nodes.dropUnused(node)
    }
  }

  /** Looks a node up by the first of its names that leads to it. */
  resolve(node: Node, waiter: Waiter): void {
    if (!this.#resolving.join(node, waiter)) return
    node.uses++
    this.#tryNames(node, (errno) => {
      node.uses--
      this.#resolving.settle(node, errno)
      this.#nodes.dropUnused(node)
    })
  }

  /** Asks for a name in a directory. Its node is current. */
  lookUp(parent: Node, name: string, own: Own): void {
    const bytes = Buffer.from(`${name}\0`, 'latin1')
    const request = newRequest(OPCODE.LOOKUP, parent.daemonId, bytes.length)
    bytes.copy(request, IN.body)
    this.#own.ask(request, own)
  }

  /** Opens a file or directory again. Its node is current. */
  reopen(handle: Handle, waiter: Waiter): void {
    if (!this.#opening.join(handle, waiter)) return
    const opcode = handle.node.type === DIRECTORY ? OPCODE.OPENDIR : OPCODE.OPEN
    const { daemonId } = handle.node
    const request = newRequest(opcode, daemonId, 8, handle.caller)
    request.writeUInt32LE(handle.flags, IN.body)
    const opened = (daemonHandle: bigint | undefined): void => {
      this.#handles.opened(handle, daemonId, daemonHandle)
      // It was closed meanwhile.
      if (this.#handles.byId(handle.id) !== handle) this.release(handle)
      this.#opening.settle(handle)
    }
    this.#own.ask(request, {
      done: (body) => {
        if (body.length < OPEN_SIZE) this.#opening.settle(handle, EIO)
        else opened(body.readBigUInt64LE(0))
      },
      failed: (errno) => {
        if (errno === ENOSYS) {
          opened(undefined)
          return
        }
        if (errno === ENOENT) this.#hooks.stale()
        this.#opening.settle(handle, errno === ENOENT ? ESTALE : errno)
      },
    })
  }

  /** Has the daemon close what it has opened, if it has. */
  release(handle: Handle): void {
    if (handle.daemonHandle === undefined || !this.#handles.isCurrent(handle)) return
    const opcode = handle.node.type === DIRECTORY ? OPCODE.RELEASEDIR : OPCODE.RELEASE
    const request = newRequest(opcode, handle.daemonNode, 24, handle.caller)
    request.writeBigUInt64LE(handle.daemonHandle, IN.body)
    request.writeUInt32LE(handle.flags, IN.body + 8)
    this.#own.tell(request)
  }

  /** Reads an open directory from its beginning to its end into the handle's snapshot, without names that are `hidden`. The handle is current. */
  list(handle: Handle, hidden: (name: string) => boolean, waiter: Waiter): void {
    if (this.#listing.join(handle, waiter)) this.#readOn(handle, new DirectorySnapshot(), 0n, hidden)
  }

  /** `settle`: undefined if the daemon knows the node now, or a positive errno. */
  #tryNames(node: Node, settle: (errno?: number) => void): void {
    const [link] = node.links
    if (link === undefined) {
      this.#hooks.stale()
      settle(ESTALE)
      return
    }
    const { parent, name } = link
    const again = (): void => this.#tryNames(node, settle)
    const tryNext = (): void => {
      // It may have been renamed: a daemon of several threads may answer the LOOKUP before the change that it has made.
      if (this.#hooks.afterChange(parent, again)) return
      this.#nodes.absent(parent, name)
      again()
    }
    const own: Own = {
      done: (entry) => {
        const found = foundIn(entry)
        if (found === undefined) {
          tryNext()
          return
        }
        const other = this.#nodes.found(parent, name, found)
        if (other === node) {
          settle()
          return
        }
        // Another file has the name.
        this.#nodes.dropUnused(other)
        again()
      },
      failed: (errno) => {
        if (errno === ENOENT) tryNext()
        else settle(errno)
      },
    }
    const ask = (): void => this.lookUp(parent, name, own)
    if (this.#nodes.isCurrent(parent)) ask()
    else this.resolve(parent, { done: ask, failed: settle })
  }

  #readOn(handle: Handle, snapshot: DirectorySnapshot, place: bigint, hidden: (name: string) => boolean): void {
    const request = newRequest(OPCODE.READDIR, handle.daemonNode, 40, handle.caller)
    request.writeBigUInt64LE(handle.daemonHandle ?? 0n, IN.body)
    request.writeBigUInt64LE(place, IN.body + 8)
    request.writeUInt32LE(LISTING_SIZE, IN.body + 16)
    request.writeUInt32LE(handle.flags, IN.body + 32)
    this.#own.ask(request, {
      done: (body) => {
        const next = snapshot.add(body, hidden)
        if (next !== undefined && next !== place) {
          this.#readOn(handle, snapshot, next, hidden)
          return
        }
        handle.snapshot = snapshot
        this.#listing.settle(handle)
      },
      failed: (errno) => {
        this.#listing.settle(handle, errno)
      },
    })
  }
}

/** Those that wait for the same. */
class Waiting<K> {
  readonly #waiters = new Map<K, Waiter[]>()

  /** Returns whether it is the first that waits for this. */
  join(key: K, waiter: Waiter): boolean {
    const there = this.#waiters.get(key)
    if (there === undefined) this.#waiters.set(key, [waiter])
    else there.push(waiter)
    return there === undefined
  }

  /** `errno`: why it failed; undefined if it did not. */
  settle(key: K, errno?: number): void {
    const waiters = this.#waiters.get(key) ?? []
    this.#waiters.delete(key)
    for (const { done, failed } of waiters)
      if (errno === undefined) done()
      else failed(errno)
  }

  /** Nobody is told any more. Returns what was waited for. */
  drop(): readonly K[] {
    const keys = [...this.#waiters.keys()]
    this.#waiters.clear()
    return keys
  }
}
