import { isDeepStrictEqual } from 'node:util'
import type { DirectorySnapshot } from './directory-snapshot.ts'
import type { Caller } from './messages.ts'
import type { Node } from './nodes.ts'
import { small, type SmallNumber } from './small-numbers.ts'

/** open(2) flags that were done with when the file was opened first. */
const ONCE = 0o100 | 0o200 | 0o1000 | 0o2000 // O_CREAT, O_EXCL, O_TRUNC, O_APPEND

/** The flags of open(2) with which a file that is there is opened again. */
export function withoutCreation(flags: number): number {
  return flags & ~ONCE
}

/** O_ACCMODE; O_RDONLY is 0. */
const ACCESS_MODE = 3

/** An open file or directory, by a number of ours that is never used again. Numbers are stored as those of {@link Node} are. */
export class Handle {
  readonly #id: SmallNumber
  readonly node: Node
  /** Who opened it: each daemon is asked in that name. */
  readonly caller: Caller
  /** Nothing was ever written by it. */
  readonly readOnly: boolean
  /** As in open(2), for the next daemon. */
  readonly flags: number
  /** The daemon that {@link daemonHandle} is of, by its number. */
  epoch = 0
  #daemonHandle: SmallNumber | undefined
  #daemonNode: SmallNumber = 0
  /** What a reader of the directory is given; undefined: it is to be read anew. */
  snapshot: DirectorySnapshot | undefined

  constructor(id: bigint, node: Node, caller: Caller, flags: number) {
    this.#id = small(id)
    this.node = node
    this.caller = caller
    this.flags = withoutCreation(flags)
    this.readOnly = (flags & ACCESS_MODE) === 0
  }

  get id(): bigint {
    return BigInt(this.#id)
  }

  /** Undefined: that daemon knows no handles, and is given 0. */
  get daemonHandle(): bigint | undefined {
    return this.#daemonHandle === undefined ? undefined : BigInt(this.#daemonHandle)
  }

  /** By what id that daemon knew the node when it opened it, which goes with the handle. */
  get daemonNode(): bigint {
    return BigInt(this.#daemonNode)
  }

  /** A daemon has opened it. */
  opened(epoch: number, daemonNode: bigint, daemonHandle: bigint | undefined): void {
    this.epoch = epoch
    this.#daemonNode = small(daemonNode)
    this.#daemonHandle = daemonHandle === undefined ? undefined : small(daemonHandle)
  }
}

/** What notes all changes of the table, so that a successor can have them. */
interface HandleNotes {
  handleAdded(handle: Handle): void
  handleRemoved(handle: Handle): void
}

/** All open files. */
export class HandleTable {
  /** The highest id so far. */
  lastId = 0n
  readonly #notes: HandleNotes
  readonly #byId = new Map<SmallNumber, Handle>()
  /** Who opened the last file: a process that opens many is stored once. */
  #caller: Caller = { uid: 0, gid: 0, pid: 0 }
  #epoch = 0

  constructor(notes: HandleNotes) {
    this.#notes = notes
  }

  /** Another daemon serves from now on, which has opened nothing. */
  begin(): void {
    this.#epoch++
  }

  /** Whether the daemon that serves has opened it. */
  isCurrent(handle: Handle): boolean {
    return handle.epoch === this.#epoch
  }

  /** The daemon that serves has opened it by the node's id `daemonNode`; undefined: it knows no handles. */
  opened(handle: Handle, daemonNode: bigint, daemonHandle: bigint | undefined): void {
    handle.opened(this.#epoch, daemonNode, daemonHandle)
    handle.node.pin(daemonNode)
  }

  byId(id: bigint): Handle | undefined {
    return this.#byId.get(small(id))
  }

  /** How many there are, and all of them. */
  get size(): number {
    return this.#byId.size
  }

  all(): IterableIterator<Handle> {
    return this.#byId.values()
  }

  add(node: Node, caller: Caller, flags: number): Handle {
    const handle = this.restore(this.lastId + 1n, node, caller, flags)
    this.#notes.handleAdded(handle)
    return handle
  }

  /** Adds an open file that an earlier process had, by its id of then. */
  restore(id: bigint, node: Node, caller: Caller, flags: number): Handle {
    if (!isDeepStrictEqual(this.#caller, caller)) this.#caller = caller
    const handle = new Handle(id, node, this.#caller, flags)
    this.#byId.set(small(id), handle)
    node.opens++
    if (id > this.lastId) this.lastId = id
    return handle
  }

  remove(handle: Handle): void {
    if (!this.#byId.delete(small(handle.id))) return
    handle.node.opens--
    if (handle.node.opens === 0) handle.node.unpin()
    this.#notes.handleRemoved(handle)
  }
}
