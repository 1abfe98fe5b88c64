import type { DirectorySnapshot } from './directory-snapshot.ts'
import { IN } from './messages.ts'
import type { Handle } from './handles.ts'
import type { HiddenFiles } from './hidden-files.ts'
import type { KernelReplies } from './kernel-replies.ts'
import type { Node, NodeTable } from './nodes.ts'
import type { Pending } from './pending.ts'
import type { Rediscovery, Waiter } from './rediscovery.ts'

/** What notes listings that a reader has begun, so that a successor can have them. */
interface ListingNotes {
  listed(handle: Handle, snapshot: DirectorySnapshot): void
}

/** Answers READDIR from snapshots of directories. */
export class Listings {
  readonly #nodes: NodeTable
  readonly #rediscovery: Rediscovery
  readonly #hidden: HiddenFiles
  readonly #replies: KernelReplies
  readonly #notes: ListingNotes

  constructor(nodes: NodeTable, rediscovery: Rediscovery, hidden: HiddenFiles, replies: KernelReplies, notes: ListingNotes) {
    this.#notes = notes
    this.#nodes = nodes
    this.#rediscovery = rediscovery
    this.#hidden = hidden
    this.#replies = replies
  }

  /** Answers a READDIR of an open directory, or has the daemon list it first and tells `waiter`. Returns whether it is answered. */
  answer(pending: Pending, directory: Node, handle: Handle, waiter: Waiter): boolean {
    const place = pending.bytes.readBigUInt64LE(IN.body + 8)
    const { snapshot } = handle
    // Whoever begins anew sees the directory as it is then.
    if (snapshot === undefined || (place === 0n && snapshot.begun)) {
      this.#rediscovery.list(handle, (name) => this.#hidden.hasName(name), waiter)
      return false
    }
    // From now on a reader has places in it.
    if (!snapshot.begun) this.#notes.listed(handle, snapshot)
    const size = pending.bytes.readUInt32LE(IN.body + 16)
    const ino = (name: string, daemons: bigint): bigint => this.#nodes.listedIno(directory, name, daemons)
    const length = snapshot.write(this.#replies.buffer, pending.unique, place, size, ino)
    this.#replies.write(pending, this.#replies.buffer, length)
    return true
  }
}
