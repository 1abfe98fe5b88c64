import { ROOT_NODE } from '../fuse/protocol/constants.ts'
import { typeOf } from './messages.ts'
import { small, type SmallNumber } from './small-numbers.ts'

/** A name that a node has in a directory, as bytes: one character for each (latin1). */
interface Link {
  readonly parent: Node
  readonly name: string
}

/** Ids of a node that a daemon has replaced by another one are kept, because requests may be under way with them: so many. */
const MOST_FORMER = 64

/** What the daemon says of a node under a name. */
export interface Found {
  readonly daemonId: bigint
  readonly ino: bigint
  readonly mode: number
}

/** What few nodes have. */
interface Rare {
  /** Names beside the first one. */
  links?: readonly Link[]
  /** The nodes of a directory that are known by their names. */
  children?: Map<string, Node>
  /** Ids that another one has replaced, and how often the daemon has told of each. */
  former?: Map<bigint, number> | undefined
  /** Ids by which the daemon has opened it, beside the first one. */
  pinned?: readonly bigint[] | undefined
}

/**
 * A file as the kernel knows it, by an id of ours that is never used again, and as the daemon knows it. There are millions of them, so that what is stored is not what is
 * seen: a bigint, an array and an object of their own for each node would take as much memory as all the rest.
 */
export class Node {
  readonly #id: number
  readonly #ino: SmallNumber
  readonly type: number
  /** Its first name; undefined: it has none. */
  #parent: Node | undefined
  #name = ''
  #rare: Rare | undefined
  /** The daemon that {@link daemonId} is of, by its number. */
  epoch = 0
  #daemonId: SmallNumber = 0
  /** How often the daemon has told of it by that id, which FORGET takes back. */
  daemonLookups = 0
  /** An id by which that daemon has opened it; undefined: it has not. */
  #pinned: SmallNumber | undefined
  /** Where it is counted how often the kernel was told of it. */
  slot = 0
  /** How often it is open, or being opened. */
  opens = 0
  /** What else needs it. */
  uses = 0

  constructor(id: bigint, { ino, mode }: Pick<Found, 'ino' | 'mode'>) {
    this.#id = Number(id)
    this.#ino = small(ino)
    this.type = typeOf(mode)
  }

  get id(): bigint {
    return BigInt(this.#id)
  }

  get ino(): bigint {
    return BigInt(this.#ino)
  }

  get daemonId(): bigint {
    return BigInt(this.#daemonId)
  }

  /** The names by which it can be found again, in the order in which they were learnt. */
  get links(): readonly Link[] {
    return this.#parent === undefined ? [] : [{ parent: this.#parent, name: this.#name }, ...(this.#rare?.links ?? [])]
  }

  addLink(link: Link): void {
    this.#setLinks([...this.links, link])
  }

  removeLink(parent: Node, name: string): void {
    this.#setLinks(this.links.filter((link) => link.parent !== parent || link.name !== name))
  }

  #setLinks([first, ...others]: readonly Link[]): void {
    this.#parent = first?.parent
    this.#name = first?.name ?? ''
    if (others.length > 0 || this.#rare?.links !== undefined) this.#more.links = others
  }

  get #more(): Rare {
    return (this.#rare ??= {})
  }

  /** What is known of a directory: the node that has a name in it. */
  child(name: string): Node | undefined {
    return this.#rare?.children?.get(name)
  }

  /** All nodes that are known of a directory. */
  known(): readonly Node[] {
    return [...(this.#rare?.children?.values() ?? [])]
  }

  get hasChildren(): boolean {
    const children = this.#rare?.children
    return children !== undefined && children.size > 0
  }

  setChild(name: string, child: Node): void {
    this.#more.children ??= new Map()
    this.#more.children.set(name, child)
  }

  deleteChild(name: string): void {
    this.#rare?.children?.delete(name)
  }

  /** Another daemon knows it, by this id. */
  attach(epoch: number, daemonId: bigint): void {
    this.epoch = epoch
    this.#daemonId = small(daemonId)
    this.daemonLookups = 1
    if (this.#rare !== undefined) this.#rare.former = undefined
    this.unpin()
  }

  /** The daemon has another id for it. Returns an id that the daemon needs not keep any more, and how often it has told of it. */
  renumber(daemonId: bigint): readonly [id: bigint, lookups: number] | undefined {
    const former = (this.#more.former ??= new Map<bigint, number>())
    const lookups = former.get(daemonId) ?? 0
    former.delete(daemonId)
    former.set(this.daemonId, this.daemonLookups)
    this.#daemonId = small(daemonId)
    this.daemonLookups = lookups + 1
    if (former.size <= MOST_FORMER) return undefined
    const oldest = [...former].find(([id]) => !this.#isPinned(id))
    if (oldest !== undefined) former.delete(oldest[0])
    return oldest
  }

  /** All ids by which that daemon knows it, and how often it has told of each: gocryptfs makes one for each LOOKUP. */
  *daemonIds(): Generator<readonly [id: bigint, lookups: number]> {
    yield [this.daemonId, this.daemonLookups]
    yield* this.#rare?.former ?? []
  }

  /** That daemon has opened it by this id, which it must keep. */
  pin(daemonId: bigint): void {
    if (this.#isPinned(daemonId)) return
    if (this.#pinned === undefined) this.#pinned = small(daemonId)
    else this.#more.pinned = [...(this.#more.pinned ?? []), daemonId]
  }

  /** It is not open any more. */
  unpin(): void {
    this.#pinned = undefined
    if (this.#rare !== undefined) this.#rare.pinned = undefined
  }

  #isPinned(daemonId: bigint): boolean {
    return this.#pinned === small(daemonId) || this.#rare?.pinned?.includes(daemonId) === true
  }
}

/** What notes all changes of the table, so that a successor can have them. */
export interface NodeNotes {
  readonly counts: LookupCounts
  nodeAdded(node: Node, slot: number): void
  linked(node: Node, parent: Node, name: string): void
  unlinked(node: Node, parent: Node, name: string): void
  /** It has its names still. */
  nodeDropped(node: Node): void
}

/** How often the kernel was told of nodes, by their slots. */
interface LookupCounts {
  allocate(): number
  free(slot: number): void
  get(slot: number): number
  set(slot: number, count: number): void
}

/** All nodes that the kernel, an open file or another node refers to. */
export class NodeTable {
  readonly root: Node
  readonly #stableInodes: boolean
  readonly #forget: (daemonId: bigint, lookups: number) => void
  readonly #notes: NodeNotes
  readonly #byId = new Map<SmallNumber, Node>()
  /** Of the daemon that serves. */
  readonly #byDaemonId = new Map<SmallNumber, Node>()
  /** The highest id so far. */
  lastId: bigint = ROOT_NODE
  #epoch = 0

  /**
   * `stableInodes`: an inode number means the same file to each daemon. `forget`: tells the daemon that serves to forget a node of its own.
   */
  constructor(stableInodes: boolean, forget: (daemonId: bigint, lookups: number) => void, notes: NodeNotes) {
    this.#stableInodes = stableInodes
    this.#forget = forget
    this.#notes = notes
    this.root = new Node(ROOT_NODE, { ino: ROOT_NODE, mode: 0o40000 })
    this.#byId.set(small(ROOT_NODE), this.root)
  }

  /** Another daemon serves from now on, to which nothing but the root is known. */
  begin(): void {
    this.#epoch++
    this.#byDaemonId.clear()
    this.#attach(this.root, ROOT_NODE)
  }

  byId(id: bigint): Node | undefined {
    return this.#byId.get(small(id))
  }

  /** How many there are, with the root. */
  get size(): number {
    return this.#byId.size
  }

  /** All nodes but the root. */
  *all(): Generator<Node> {
    for (const node of this.#byId.values()) if (node !== this.root) yield node
  }

  /** Those that the kernel knows: the root, and what it was told of. The counts may become others between two of them. */
  *known(): Generator<Node> {
    for (const node of this.#byId.values()) if (node === this.root || this.#notes.counts.get(node.slot) > 0) yield node
  }

  /** The kernel is told of a node. */
  told(node: Node): void {
    const { counts } = this.#notes
    counts.set(node.slot, counts.get(node.slot) + 1)
  }

  /** The kernel has forgotten lookups of a node. */
  forgotten(node: Node, lookups: number): void {
    const { counts } = this.#notes
    counts.set(node.slot, Math.max(0, counts.get(node.slot) - lookups))
    this.dropUnused(node)
  }

  /** Adds a node that an earlier process had, by an id and a slot of then. */
  restore(id: bigint, found: Pick<Found, 'ino' | 'mode'>, slot: number): void {
    const node = new Node(id, found)
    node.slot = slot
    this.#byId.set(small(id), node)
    if (id > this.lastId) this.lastId = id
  }

  /** A node by the id that the daemon which serves has of it. */
  byDaemonId(id: bigint): Node | undefined {
    return this.#byDaemonId.get(small(id))
  }

  /** Whether the daemon that serves knows the node. */
  isCurrent(node: Node): boolean {
    return node.epoch === this.#epoch
  }

  /** The inode number that the kernel is told. */
  inoOf(node: Node, daemons: bigint): bigint {
    return this.#stableInodes ? daemons : node.id
  }

  /** The inode number of an entry of a directory that is listed, of which nothing more is known. */
  listedIno(directory: Node, name: string, daemons: bigint): bigint {
    if (this.#stableInodes) return daemons
    if (name === '.') return directory.id
    if (name === '..') return directory.links[0]?.parent.id ?? directory.id
    // What libfuse says of a number that it does not know.
    return directory.child(name)?.id ?? 0xffffffffn
  }

  /** The daemon has answered a LOOKUP. Returns the node that has the name, one that is known already if there is one. */
  found(parent: Node, name: string, found: Found): Node {
    const there = parent.child(name)
    const known = this.#byDaemonId.get(small(found.daemonId))
    const isThere =
      there !== undefined &&
      (known === there || (this.isCurrent(there) ? isRenumbered(there, found, known) : this.matches(there, found)))
    const node = isThere ? there : (known ?? this.#add(found))
    if (!isThere) this.link(node, parent, name)
    if (!this.isCurrent(node)) this.#attach(node, found.daemonId)
    else if (node.daemonId === found.daemonId) node.daemonLookups++
    else this.#renumber(node, found.daemonId)
    return node
  }

  /** The daemon knows no file of this name any more. */
  absent(parent: Node, name: string): void {
    const node = parent.child(name)
    if (node === undefined) return
    this.unlink(node, parent, name)
    this.dropUnused(parent)
  }

  /** A file has another name. What had that name has lost it, or has the first one now (`exchange`). */
  moved(from: Node, name: string, to: Node, newName: string, exchange: boolean): void {
    const node = from.child(name)
    const other = to.child(newName)
    if (node !== undefined) this.unlink(node, from, name)
    if (other !== undefined) this.unlink(other, to, newName)
    if (node !== undefined) this.link(node, to, newName)
    if (exchange && other !== undefined) this.link(other, from, name)
    this.dropUnused(from)
    this.dropUnused(to)
  }

  /** Whether what a daemon has found under a name of a node can be the same file. */
  matches(node: Node, { ino, mode }: Found): boolean {
    return node.type === typeOf(mode) && (!this.#stableInodes || node.ino === ino)
  }

  /** Forgets a node that nothing refers to any more, and those of its parents that were kept for it. */
  dropUnused(node: Node): void {
    let parents: readonly Node[] = [node]
    while (parents.length > 0) parents = parents.flatMap((one) => this.#drop(one))
  }

  /** Returns the parents of a node that was dropped. */
  #drop(node: Node): readonly Node[] {
    if (node === this.root || node.opens > 0 || node.uses > 0 || node.hasChildren) return []
    if (this.#byId.get(small(node.id)) !== node || this.#notes.counts.get(node.slot) > 0) return []
    if (this.isCurrent(node)) for (const [id, lookups] of node.daemonIds()) this.#forgetId(node, id, lookups)
    const parents = node.links.map(({ parent }) => parent)
    this.#notes.nodeDropped(node)
    this.remove(node)
    return parents
  }

  /** Takes a node away, whatever refers to it. */
  remove(node: Node): void {
    if (!this.#byId.delete(small(node.id))) return
    this.#notes.counts.free(node.slot)
    for (const { parent, name } of node.links) unlink(node, parent, name)
  }

  #add(found: Found): Node {
    const node = new Node(++this.lastId, found)
    this.#byId.set(small(node.id), node)
    node.slot = this.#notes.counts.allocate()
    this.#notes.nodeAdded(node, node.slot)
    return node
  }

  #attach(node: Node, daemonId: bigint): void {
    node.attach(this.#epoch, daemonId)
    const id = small(daemonId)
    if (!this.#byDaemonId.has(id)) this.#byDaemonId.set(id, node)
  }

  #renumber(node: Node, daemonId: bigint): void {
    const oldest = node.renumber(daemonId)
    this.#byDaemonId.set(small(daemonId), node)
    if (oldest !== undefined) this.#forgetId(node, ...oldest)
  }

  #forgetId(node: Node, daemonId: bigint, lookups: number): void {
    const id = small(daemonId)
    if (this.#byDaemonId.get(id) === node) this.#byDaemonId.delete(id)
    this.#forget(daemonId, lookups)
  }

  /** A node has a name in a directory, which another one loses. */
  link(node: Node, parent: Node, name: string): void {
    const before = parent.child(name)
    if (before !== undefined) this.unlink(before, parent, name)
    parent.setChild(name, node)
    node.addLink({ parent, name })
    this.#notes.linked(node, parent, name)
  }

  unlink(node: Node, parent: Node, name: string): void {
    unlink(node, parent, name)
    this.#notes.unlinked(node, parent, name)
  }
}

function unlink(node: Node, parent: Node, name: string): void {
  node.removeLink(parent, name)
  if (parent.child(name) === node) parent.deleteChild(name)
}

/** Whether what the daemon has found is a node that it knows, by another id that is no other node's (`known`). */
function isRenumbered(node: Node, { ino, mode }: Found, known: Node | undefined): boolean {
  return known === undefined && node.ino === ino && node.type === typeOf(mode)
}
