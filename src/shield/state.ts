import { messageOf } from '../errors.ts'
import { Reader } from '../fuse/protocol/reader.ts'
import { Writer } from '../fuse/protocol/writer.ts'
import type { Libc } from '../os/libc.ts'
import { DirectorySnapshot } from './directory-snapshot.ts'
import type { Handle, HandleTable } from './handles.ts'
import type { HiddenFiles } from './hidden-files.ts'
import type { KeptCounts } from './kept-counts.ts'
import type { Caller } from './messages.ts'
import type { Node, NodeTable } from './nodes.ts'
import type { Taken } from './pending.ts'
import { type SessionFacts, sessionFacts } from './session-facts.ts'
import { HEADER_SIZE, StateFile } from './state-file.ts'

/** The kinds of events; a number is never used for another one. */
const EVENT = {
  lastIds: 1,
  unanswered: 2,
  node: 3,
  link: 4,
  unlink: 5,
  dropped: 6,
  handle: 7,
  closed: 8,
  listed: 9,
  hiding: 10,
  hidden: 11,
  shown: 12,
  changeSent: 13,
  changeOver: 14,
  taken: 15,
  settled: 16,
} as const

/** Bytes of a record: what one request changes is in one record, and never takes so much. */
const RECORD_SIZE = 256 * 1024
/** Bytes of a listing in one event. */
const LISTING_PART = 64 * 1024
/** Bytes of the longest event beside its listing. */
const EVENT_SIZE = 8 * 1024

/** Bytes of the events that are of use as long as a node, an open file and a name are there; the name's own come on top. */
const NODE_SIZE = 26
const HANDLE_SIZE = 34
const LINK_SIZE = 20

/** The log is written anew when more than half of it is of no use any more, and so many bytes at the least. */
const LEAST_DEAD = 1024 * 1024

/** Slots of counts that are no node's. */
const SLOT = {
  /** Daemons that have served. */
  daemons: 1,
  /** Requests that were given to another daemon when one ended. */
  resent: 2,
  /** Files that could not be found again. */
  lost: 3,
  /** Changes that a daemon refused, and that an earlier one had made. */
  takenAsDone: 4,
  /** Requests that have failed with ESTALE. */
  stale: 5,
  /** Requests that have failed with EIO because daemons ended with them, and because nobody knows whether they were done. */
  suspectsFailed: 6,
  undecided: 7,
  /** Daemons that ended by themselves, and that were replaced. */
  restarts: 8,
  upgrades: 9,
  /** Processes of the shield that were killed. */
  deaths: 10,
} as const

/** What is counted from the mount to its end, whichever process serves it. */
export type CountName = keyof typeof SLOT

/** What the state is of, and is read back into. */
export interface StateTables {
  readonly nodes: NodeTable
  readonly handles: HandleTable
  readonly hidden: HiddenFiles
}

/** What the last record has noted for a request that was to be answered with success next. If the kernel sends it again, it has not got the answer. */
interface Noted {
  /** A node that it was to learn of, and an open file; 0 for none. */
  node: bigint
  handle: bigint
  /** The kernel has sent it again. */
  again: boolean
}

/**
 * What a successor needs to know when this process is killed, in a file that the service manager keeps. A change is noted as an event. {@link commit} makes a
 * record of all events since the last one, which is there whole or not at all.
 *
 * What the kernel is told must be there before it is told: it may ask for it next. So each answer is written after a commit. What the kernel has forgotten may be
 * there too long: then a node is kept until the unmount. A process that is killed between a commit and the answer leaves a record whose request the kernel sends
 * again; {@link again} takes back what is to be noted anew.
 */
export class ShieldState {
  readonly #file: StateFile
  readonly #writer = new Writer(RECORD_SIZE)
  readonly #onLost: (why: string) => void
  #tables: StateTables | undefined
  #facts: SessionFacts
  /** Changes of names that a daemon was given and that are not answered. */
  readonly #changes = new Set<bigint>()
  readonly #unanswered = new Map<bigint, Noted>()
  /** Nothing is written while what was written is read, and when it cannot be written. */
  #writing = true
  /** Bytes of the log that nodes, names and open files need, and bytes beside them of a log that is written anew. */
  #live = 0
  #beside = 0
  /** Bytes that the log has lost whenever it was written anew. */
  #shed = 0
  /** Makes room for more events. */
  #flush = (): void => this.commit()

  private constructor(file: StateFile, facts: SessionFacts, onLost: (why: string) => void) {
    this.#file = file
    this.#facts = facts
    this.#onLost = onLost
  }

  /** `onLost`: nothing more can be noted; a successor must not use it. Throws SystemError. */
  static create(libc: Libc, onLost: (why: string) => void): ShieldState {
    return new ShieldState(StateFile.create(libc), {}, onLost)
  }

  /** What an earlier process has written. Throws Error if it cannot be read. */
  static adopt(libc: Libc, fd: number, onLost: (why: string) => void): ShieldState {
    const file = StateFile.adopt(libc, fd)
    return new ShieldState(file, sessionFacts(file.readHead()?.toString() ?? '{}'), onLost)
  }

  get fd(): number {
    return this.#file.fd
  }

  get facts(): SessionFacts {
    return this.#facts
  }

  get counts(): KeptCounts {
    return this.#file.counts
  }

  /** Bytes of the log. */
  get size(): number {
    return this.#file.size
  }

  /** Bytes of all that was ever noted by this process, whether or not it is in the log still. */
  get noted(): number {
    return this.size + this.#shed
  }

  /** Notes something about the session, at once. */
  note(facts: Partial<SessionFacts>): void {
    this.#facts = { ...this.#facts, ...facts }
    this.#attempt(() => this.#file.writeHead(Buffer.from(JSON.stringify(this.#facts))))
  }

  /** From now on it is of these tables. */
  attach(tables: StateTables): void {
    this.#tables = tables
  }

  /** Reads what an earlier process has written, into empty tables. Throws Error if it cannot be read. */
  restore(tables: StateTables): void {
    const { nodes } = tables
    this.#writing = false
    let last: { readonly unique: bigint; readonly noted: Noted } | undefined
    this.#file.read((body, unique) => {
      last = { unique, noted: { node: 0n, handle: 0n, again: false } }
      const reader = new Reader(body)
      while (reader.remaining > 0) this.#restore(tables, reader, last.noted)
    })
    if (last !== undefined && last.unique !== 0n) this.#unanswered.set(last.unique, last.noted)
    // If there is no memory to write everything anew, these slots stay in use.
    let used = 0
    for (const { slot } of nodes.all()) used = Math.max(used, slot + 1)
    this.counts.beginAt(used)
    for (const node of nodes.all()) nodes.dropUnused(node)
    this.#writing = true
    this.#tables = tables
    this.#compact(tables)
  }

  /**
   * The kernel sends a request again. `maybeDone`: a daemon may have made this change. `done`: a daemon has answered with success, and the names that it has changed
   * are noted. An open file and a lookup that are noted for it are taken back.
   */
  again(unique: bigint): { readonly maybeDone: boolean; readonly done: boolean } {
    const noted = this.#unanswered.get(unique)
    if (noted !== undefined && this.#tables !== undefined) {
      const { nodes, handles } = this.#tables
      const handle = handles.byId(noted.handle)
      if (handle !== undefined) {
        handles.remove(handle)
        nodes.dropUnused(handle.node)
      }
      const node = nodes.byId(noted.node)
      if (node !== undefined) nodes.forgotten(node, 1)
      this.#unanswered.set(unique, { node: 0n, handle: 0n, again: true })
    }
    return { maybeDone: this.#changes.has(unique), done: noted !== undefined }
  }

  /** The kernel has sent all requests again that have no answer. */
  allAgain(): void {
    for (const [unique, { again }] of this.#unanswered) if (!again) this.#unanswered.delete(unique)
    this.settle()
  }

  /** How often {@link add} was called for each name, by earlier processes too. */
  get totals(): Readonly<Record<CountName, number>> {
    const { counts } = this
    const total = (name: CountName): number => counts.get(SLOT[name])
    return {
      daemons: total('daemons'),
      resent: total('resent'),
      lost: total('lost'),
      takenAsDone: total('takenAsDone'),
      stale: total('stale'),
      suspectsFailed: total('suspectsFailed'),
      undecided: total('undecided'),
      restarts: total('restarts'),
      upgrades: total('upgrades'),
      deaths: total('deaths'),
    }
  }

  add(name: CountName): void {
    this.counts.set(SLOT[name], this.counts.get(SLOT[name]) + 1)
  }

  /** Makes a record of all events since the last one. `unique`: the request that is answered with success next; 0 for none. */
  commit(unique = 0n): void {
    if (this.#writer.length === 0) return
    this.#attempt(() => this.#file.append(this.#record, unique))
    this.#writer.reset()
  }

  /** Nothing is to be answered next: makes a record, and the log smaller where much of it is of no use. */
  settle(): void {
    this.commit()
    const dead = this.size - this.#live - this.#beside
    if (this.#tables !== undefined && dead > Math.max(this.size / 2, LEAST_DEAD)) this.#compact(this.#tables)
  }

  /** `slot`: where its lookups are counted. */
  nodeAdded({ id, ino, type }: Node, slot: number): void {
    const writer = this.#begin(EVENT.node)
    writer?.u64(id)
    writer?.u64(ino)
    writer?.u32(type)
    writer?.u32(slot)
    this.#live += NODE_SIZE
  }

  linked(node: Node, parent: Node, name: string): void {
    this.#putName(EVENT.link, [node.id, parent.id], name)
    this.#live += LINK_SIZE + name.length
  }

  unlinked(node: Node, parent: Node, name: string): void {
    this.#putName(EVENT.unlink, [node.id, parent.id], name)
    this.#live -= LINK_SIZE + name.length
  }

  nodeDropped({ id, links }: Node): void {
    this.#putId(EVENT.dropped, id)
    this.#live -= NODE_SIZE
    for (const { name } of links) this.#live -= LINK_SIZE + name.length
  }

  handleAdded({ id, node, flags, caller }: Handle): void {
    const writer = this.#begin(EVENT.handle)
    writer?.u64(id)
    writer?.u64(node.id)
    writer?.u32(flags)
    if (writer !== undefined) putCaller(writer, caller)
    this.#live += HANDLE_SIZE
  }

  handleRemoved({ id }: Handle): void {
    this.#putId(EVENT.closed, id)
    this.#live -= HANDLE_SIZE
  }

  /** A reader is given the beginning of a listing. */
  listed({ id }: Handle, snapshot: DirectorySnapshot): void {
    snapshot.parts(LISTING_PART).forEach((part, index) => {
      const writer = this.#begin(EVENT.listed, part.length)
      writer?.u64(id)
      writer?.u32(index)
      writer?.u32(part.length)
      writer?.bytes(part)
    })
  }

  /** The daemon is about to be asked to hide a file under a name. It is noted at once. */
  hiding(file: Node, name: string): void {
    this.#putName(EVENT.hiding, [file.id], name)
    this.commit()
  }

  hidden({ id }: Node, name: string, caller: Caller): void {
    this.#putName(EVENT.hidden, [id], name)
    if (this.#writing) putCaller(this.#writer, caller)
  }

  /** A file is not hidden, or not any more. */
  shown({ id }: Node): void {
    this.#putId(EVENT.shown, id)
  }

  /** A change has taken a name from an open file that is hidden, and may still be refused. */
  taken(unique: bigint, { file, directory, name }: Taken): void {
    this.#putName(EVENT.taken, [unique, file.id, directory.id], name)
  }

  /** Such a change has come out. */
  settled(unique: bigint): void {
    this.#putId(EVENT.settled, unique)
  }

  /** The daemon is about to be given a change that must not be done twice. It is noted at once. */
  changeSent(unique: bigint): void {
    if (this.#changes.has(unique)) return
    this.#changes.add(unique)
    this.#putId(EVENT.changeSent, unique)
    this.commit()
  }

  /** Such a change is answered. */
  changeOver(unique: bigint): void {
    this.#unanswered.delete(unique)
    if (this.#changes.delete(unique)) this.#putId(EVENT.changeOver, unique)
  }

  get #record(): Buffer {
    return this.#writer.buffer.subarray(0, this.#writer.length)
  }

  /** Begins an event; undefined while nothing is written. `more`: bytes of a listing. */
  #begin(event: number, more = 0): Writer | undefined {
    if (!this.#writing) return undefined
    if (this.#writer.length + EVENT_SIZE + more > RECORD_SIZE) this.#flush()
    if (this.#writer.length === 0) this.#writer.zero(HEADER_SIZE)
    this.#writer.u16(event)
    return this.#writer
  }

  #putId(event: number, id: bigint): void {
    this.#begin(event)?.u64(id)
  }

  #putName(event: number, ids: readonly bigint[], name: string): void {
    const writer = this.#begin(event)
    for (const id of ids) writer?.u64(id)
    writer?.u16(name.length)
    writer?.latin1(name)
  }

  #restore({ nodes, handles, hidden }: StateTables, reader: Reader, noted: Noted): void {
    const text = (): string => reader.bytes(reader.u16()).toString('latin1')
    const nodeOf = (): Node | undefined => nodes.byId(reader.u64())
    const event = reader.u16()
    switch (event) {
      case EVENT.lastIds:
        nodes.lastId = reader.u64()
        handles.lastId = reader.u64()
        return
      case EVENT.node: {
        const id = reader.u64()
        nodes.restore(id, { ino: reader.u64(), mode: reader.u32() }, reader.u32())
        noted.node = id
        return
      }
      case EVENT.link:
      case EVENT.unlink: {
        const [node, parent, name] = [nodeOf(), nodeOf(), text()]
        if (node === undefined || parent === undefined) return
        if (event === EVENT.link) nodes.link(node, parent, name)
        else nodes.unlink(node, parent, name)
        return
      }
      case EVENT.dropped: {
        const node = nodeOf()
        if (node !== undefined) nodes.remove(node)
        return
      }
      case EVENT.handle: {
        const [id, node, flags, caller] = [reader.u64(), nodeOf(), reader.u32(), callerIn(reader)]
        if (node !== undefined) handles.restore(id, node, caller, flags)
        noted.handle = id
        return
      }
      case EVENT.closed: {
        const handle = handles.byId(reader.u64())
        if (handle !== undefined) handles.remove(handle)
        return
      }
      case EVENT.listed: {
        const [handle, index, bytes] = [handles.byId(reader.u64()), reader.u32(), reader.bytes(reader.u32())]
        if (handle === undefined) return
        if (index === 0 || handle.snapshot === undefined) handle.snapshot = new DirectorySnapshot()
        handle.snapshot.begun = true
        handle.snapshot.add(bytes, () => false)
        return
      }
      case EVENT.hiding: {
        const [node, name] = [nodeOf(), text()]
        if (node !== undefined) hidden.restoreChosen(node, name)
        return
      }
      case EVENT.hidden: {
        const [node, name, caller] = [nodeOf(), text(), callerIn(reader)]
        if (node !== undefined) hidden.restore(node, name, caller)
        return
      }
      case EVENT.shown: {
        const node = nodeOf()
        if (node !== undefined) hidden.forget(node)
        return
      }
      case EVENT.taken: {
        const [unique, file, directory, name] = [reader.u64(), nodeOf(), nodeOf(), text()]
        if (file !== undefined && directory !== undefined) hidden.restoreTaking(unique, { file, directory, name })
        return
      }
      case EVENT.settled:
        hidden.forgetTaking(reader.u64())
        return
      case EVENT.changeSent:
        this.#changes.add(reader.u64())
        return
      case EVENT.changeOver:
        this.#changes.delete(reader.u64())
        return
      case EVENT.unanswered:
        this.#unanswered.set(reader.u64(), { node: reader.u64(), handle: reader.u64(), again: false })
        return
      default:
        throw new Error(`the state has an event of the kind ${event}, which there is not`)
    }
  }

  /** Writes everything anew, without what is not needed any more. */
  #compact(tables: StateTables): void {
    const slots: number[] = []
    const sizeBefore = this.size
    this.#live = 0
    this.#attempt(() => {
      const before = this.counts
      this.#writer.reset()
      this.#file.replace((put, counts) => {
        this.#flush = () => {
          put(this.#record)
          this.#writer.reset()
        }
        for (const slot of Object.values(SLOT)) counts.set(slot, before.get(slot))
        for (const node of tables.nodes.all()) {
          const slot = counts.allocate()
          counts.set(slot, before.get(node.slot))
          slots.push(slot)
        }
        this.#putAll(tables, slots)
        this.#flush()
      })
      let index = 0
      for (const node of tables.nodes.all()) node.slot = slots[index++] ?? 0
      this.#beside = this.size - this.#live
      this.#shed += Math.max(0, sizeBefore - this.size)
    })
    this.#flush = () => this.commit()
    this.#writer.reset()
  }

  #putAll({ nodes, handles, hidden }: StateTables, slots: readonly number[]): void {
    const ids = this.#begin(EVENT.lastIds)
    ids?.u64(nodes.lastId)
    ids?.u64(handles.lastId)
    let index = 0
    for (const node of nodes.all()) this.nodeAdded(node, slots[index++] ?? 0)
    // A directory may be known for less long than what is in it.
    for (const node of nodes.all()) for (const { parent, name } of node.links) this.linked(node, parent, name)
    for (const handle of handles.all()) {
      this.handleAdded(handle)
      if (handle.snapshot?.begun === true) this.listed(handle, handle.snapshot)
    }
    for (const [file, name] of hidden.chosen()) this.#putName(EVENT.hiding, [file.id], name)
    for (const [file, { name, caller }] of hidden.all()) this.hidden(file, name, caller)
    for (const [unique, taken] of hidden.takings()) this.taken(unique, taken)
    for (const unique of this.#changes) this.#putId(EVENT.changeSent, unique)
    for (const [unique, { node, handle }] of this.#unanswered) {
      const writer = this.#begin(EVENT.unanswered)
      for (const id of [unique, node, handle]) writer?.u64(id)
    }
  }

  #attempt(act: () => void): void {
    if (!this.#writing) return
    try {
      act()
    } catch (error) {
      this.#writing = false
      this.#onLost(messageOf(error))
    }
  }
}

function putCaller(writer: Writer, { uid, gid, pid }: Caller): void {
  for (const id of [uid, gid, pid]) writer.u32(id)
}

function callerIn(reader: Reader): Caller {
  return { uid: reader.u32(), gid: reader.u32(), pid: reader.u32() }
}
