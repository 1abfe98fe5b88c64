import { constants } from 'node:os'
import { OPCODE } from '../fuse/protocol/constants.ts'
import { randomHex } from '../os/random.ts'
import { type Caller, DIRECTORY, foundIn, IN, newRequest } from './messages.ts'
import type { Node, NodeTable } from './nodes.ts'
import type { OwnRequests } from './own-requests.ts'
import type { Pending, Taken } from './pending.ts'
import type { Rediscovery, Waiter } from './rediscovery.ts'

const { ENOENT } = constants.errno

export interface Hidden {
  readonly name: string
  /** Who took its name away: the file is removed in that name. */
  readonly caller: Caller
  removing: boolean
  /** The daemon renames it, and must not be asked to remove it by the name that it loses. */
  moving: boolean
}

/** What notes all changes of the hidden files, so that a successor can have them. */
interface HiddenNotes {
  /** At once: the daemon is asked next. */
  hiding(file: Node, name: string): void
  hidden(file: Node, name: string, caller: Caller): void
  shown(file: Node): void
  /** The request `unique` has taken a name from a file that is hidden, and may still be refused. */
  taken(unique: bigint, taken: Taken): void
  /** It has come out. */
  settled(unique: bigint): void
}

/** A {@link Taken} whose request has not come out. */
interface Taking extends Taken {
  /** Nobody waits for the request any more, and no daemon will answer it: whether it was done shows in the names that there are. */
  abandoned: boolean
}

/** The dependencies of {@link HiddenFiles}. */
interface HiddenFilesParts {
  readonly nodes: NodeTable
  readonly own: OwnRequests
  readonly rediscovery: Rediscovery
  readonly notes: HiddenNotes
  readonly warn: (text: string) => void
  /** It is known of one more abandoned request whether it was done: {@link HiddenFiles.settling} may have changed. */
  readonly settled: () => void
}

/**
 * Open files that have lost their last name. To the next daemon a file is what has its name, so that such a file keeps one until it is closed: it is renamed
 * instead of removed, to a name that no listing shows, and removed after its last close, as NFS clients do.
 */
export class HiddenFiles {
  readonly #nodes: NodeTable
  readonly #own: OwnRequests
  readonly #rediscovery: Rediscovery
  readonly #notes: HiddenNotes
  readonly #warn: (text: string) => void
  readonly #onSettled: () => void
  /** By the numbers of their requests. */
  readonly #takings = new Map<bigint, Taking>()
  readonly #files = new Map<Node, Hidden>()
  readonly #names = new Set<string>()
  /** The names of files that are being hidden, which the next daemon is asked for again. */
  readonly #chosen = new Map<Node, string>()
  /** Called when one more file is removed; dropped when the daemon ends. */
  #removals: (() => void)[] = []
  readonly #prefix = `.dummy-shield-${randomHex(8)}-`
  #count = 0
  #serving = false
  #removesAll = false

  constructor({ nodes, own, rediscovery, notes, warn, settled }: HiddenFilesParts) {
    this.#nodes = nodes
    this.#own = own
    this.#rediscovery = rediscovery
    this.#notes = notes
    this.#warn = warn
    this.#onSettled = settled
  }

  get any(): boolean {
    return this.#files.size > 0
  }

  has(file: Node): boolean {
    return this.#files.has(file)
  }

  all(): Iterable<readonly [file: Node, hidden: Hidden]> {
    return this.#files
  }

  /** Files that are being hidden, and the names that they get. */
  chosen(): Iterable<readonly [file: Node, name: string]> {
    return this.#chosen
  }

  /** Adds a file that an earlier process was hiding under a name. */
  restoreChosen(file: Node, name: string): void {
    this.#chosen.set(file, name)
  }

  /** Adds a file that an earlier process has hidden. */
  restore(file: Node, name: string, caller: Caller): void {
    this.#chosen.delete(file)
    this.#names.add(name)
    file.uses++
    this.#files.set(file, { name, caller, removing: false, moving: false })
  }

  /** Names that requests have taken which have not come out, by the numbers of the requests. */
  takings(): Iterable<readonly [unique: bigint, taken: Taken]> {
    return this.#takings
  }

  /** Adds one of an earlier process. It counts as abandoned until {@link reclaim}. */
  restoreTaking(unique: bigint, taken: Taken): void {
    this.#takings.set(unique, { ...taken, abandoned: true })
  }

  /** A request that an earlier process had has come out. */
  forgetTaking(unique: bigint): void {
    this.#takings.delete(unique)
  }

  /** The kernel sends a request again. Returns what it has taken. */
  reclaim(unique: bigint): Taken | undefined {
    const taking = this.#takings.get(unique)
    if (taking !== undefined) taking.abandoned = false
    return taking
  }

  /** Nobody waits for a request any more, and the daemon that had it has ended or was never given it. */
  abandon(unique: bigint): void {
    const taking = this.#takings.get(unique)
    if (taking === undefined) return
    taking.abandoned = true
    if (this.#serving) this.#settle(unique, taking)
  }

  /** A request is done with, whether the daemon has done it or not. */
  over(unique: bigint): void {
    if (this.#takings.get(unique)?.abandoned === false) this.#drop(unique)
  }

  /** While it is so, nobody knows what has which name. */
  get settling(): boolean {
    for (const { abandoned } of this.#takings.values()) if (abandoned) return true
    return false
  }

  /** A file is not hidden any more, and not being hidden. */
  forget(file: Node): void {
    this.#chosen.delete(file)
    const hidden = this.#files.get(file)
    if (hidden === undefined) return
    this.#files.delete(file)
    this.#names.delete(hidden.name)
    file.uses--
  }

  /** Whether a name (latin1) is one that a file is hidden under. */
  hasName(name: string): boolean {
    return this.#names.has(name)
  }

  /** Another daemon serves: what it is to remove it removes. */
  begin(): void {
    this.#serving = true
    for (const [file, hidden] of this.#files) {
      hidden.removing = false
      hidden.moving = false
      this.closed(file)
    }
    for (const [unique, taking] of this.#takings) if (taking.abandoned) this.#settle(unique, taking)
  }

  /** The daemon that served has ended. */
  stop(): void {
    this.#serving = false
    this.#removals = []
  }

  /**
   * Does what has to be done before a request that takes names away is sent. Returns false if there is nothing to do; otherwise `waiter` is told when the
   * request is to be looked at again. `directory` and `target`: its nodes, which are current.
   */
  prepare(pending: Pending, directory: Node, target: Node | undefined, waiter: Waiter): boolean {
    if (pending.hidesNothing) return false
    const [name, newName] = pending.names
    if (pending.opcode === OPCODE.RMDIR) return this.#empty(pending, directory, name, waiter)
    const [parent, taken] = pending.opcode === OPCODE.UNLINK ? [directory, name] : [target, newName]
    if (parent === undefined || (pending.opcode !== OPCODE.UNLINK && !pending.replaces)) return false
    const file = parent.child(taken)
    if (file === undefined || file.type === DIRECTORY || file.opens === 0 || file.links.length > 1) return false
    // Two names of one file: nothing is taken away.
    if (target !== undefined && directory.child(name)?.ino === file.ino) return false
    const failed = (): void => {
      if (this.#chosen.has(file)) this.#shown(file)
      pending.hidesNothing = true
      waiter.done()
    }
    const chosen = this.#chosen.get(file)
    // An earlier daemon may have hidden it: then it is not found under the name that it had.
    if (chosen === undefined && !this.#nodes.isCurrent(file)) {
      this.#rediscovery.resolve(file, { done: waiter.done, failed })
      return true
    }
    const hiddenName = chosen ?? `${this.#prefix}${++this.#count}`
    this.#chosen.set(file, hiddenName)
    if (chosen === undefined) this.#notes.hiding(file, hiddenName)
    const done = (): void => {
      pending.hid = { file, directory: parent, name: taken }
      this.restore(file, hiddenName, pending.identity)
      this.#notes.hidden(file, hiddenName, pending.identity)
      if (pending.replaces) this.#take(pending, pending.hid)
      this.closed(file)
      waiter.done()
    }
    this.#move({ file, from: parent, name: taken, to: parent, newName: hiddenName, caller: pending.identity }, { done, failed })
    return true
  }

  /** A request that has hidden a file has failed: the file gets its name back, if it still can. */
  giveBack({ file, directory, name }: Taken, caller: Caller, done: () => void): void {
    const hidden = this.#files.get(file)
    const [link] = file.links
    if (hidden === undefined || link === undefined || hidden.removing) {
      done()
      return
    }
    const back = (): void => {
      this.#shown(file)
      done()
    }
    const move = (): void =>
      this.#move({ file, from: link.parent, name: link.name, to: directory, newName: name, caller }, { done: back, failed: done })
    this.#whenCurrent([link.parent, directory], { done: move, failed: done })
  }

  /** One who had a file open has closed it. */
  closed(file: Node): void {
    const hidden = this.#files.get(file)
    if (hidden !== undefined && file.opens === 0 && !this.#isBeingTaken(file)) this.#remove(file, hidden)
  }

  /** Removes all of them, open or not, and calls `removed` when the daemon has; never if it ends before. */
  removeAll(removed: () => void): void {
    const look = (): void => {
      if (this.#files.size === 0) removed()
      else this.#removals.push(look)
    }
    this.#removesAll = true
    for (const [file, hidden] of this.#files) this.#remove(file, hidden)
    look()
  }

  /** A request that may be refused has taken a name. */
  #take({ firstUnique, answered }: Pending, taken: Taken): void {
    this.#takings.set(firstUnique, { ...taken, abandoned: false })
    this.#notes.taken(firstUnique, taken)
    // Its caller was killed meanwhile.
    if (answered) this.abandon(firstUnique)
  }

  #isBeingTaken(file: Node): boolean {
    for (const taking of this.#takings.values()) if (taking.file === file) return true
    return false
  }

  #drop(unique: bigint): void {
    const taking = this.#takings.get(unique)
    if (!this.#takings.delete(unique) || taking === undefined) return
    this.#notes.settled(unique)
    this.closed(taking.file)
  }

  /** Finds out whether an abandoned request was done: then another file has the name. Otherwise the file gets it back. */
  #settle(unique: bigint, { file, directory, name }: Taken): void {
    const over = (): void => {
      this.#drop(unique)
      this.#onSettled()
    }
    const hidden = this.#files.get(file)
    if (hidden === undefined) {
      over()
      return
    }
    const absent = (): void => this.giveBack({ file, directory, name }, hidden.caller, over)
    const look = (): void =>
      this.#rediscovery.lookUp(directory, name, {
        done: (entry) => {
          if (foundIn(entry) === undefined) absent()
          else over()
        },
        failed: (errno) => {
          if (errno === ENOENT) absent()
          else over()
        },
      })
    this.#whenCurrent([directory], { done: look, failed: over })
  }

  /** Tells `waiter` once the daemon that serves knows all of these nodes. */
  #whenCurrent(nodes: readonly Node[], waiter: Waiter): void {
    const unknown = nodes.find((node) => !this.#nodes.isCurrent(node))
    if (unknown === undefined) waiter.done()
    else this.#rediscovery.resolve(unknown, { done: () => this.#whenCurrent(nodes, waiter), failed: waiter.failed })
  }

  /** Hidden files must not be in a directory that is removed: they go to the one above. */
  #empty(pending: Pending, parent: Node, name: string, waiter: Waiter): boolean {
    const directory = parent.child(name)
    const file = directory?.known().find((child) => this.#files.has(child))
    const hidden = file === undefined ? undefined : this.#files.get(file)
    if (directory === undefined || file === undefined || hidden === undefined) return false
    const failed = (): void => {
      pending.hidesNothing = true
      waiter.done()
    }
    if (!this.#nodes.isCurrent(directory)) this.#rediscovery.resolve(directory, { done: waiter.done, failed })
    else if (hidden.removing) this.#removals.push(waiter.done)
    else {
      hidden.moving = true
      // Whichever name it has if the daemon ends meanwhile, it is found by one of them.
      this.#nodes.link(file, parent, hidden.name)
      const over = (act: () => void) => (): void => {
        hidden.moving = false
        act()
        if (this.#removesAll) this.#remove(file, hidden)
        else this.closed(file)
      }
      const stays = (): void => {
        this.#nodes.absent(parent, hidden.name)
        failed()
      }
      const move = { file, from: directory, name: hidden.name, to: parent, newName: hidden.name, caller: pending.identity }
      this.#move(move, { done: over(waiter.done), failed: over(stays) })
    }
    return true
  }

  /** Renames a file. An earlier daemon may have done that already. */
  #move(
    { file, from, name, to, newName, caller }: { file: Node; from: Node; name: string; to: Node; newName: string; caller: Caller },
    { done, failed }: Waiter,
  ): void {
    const names = Buffer.from(`${name}\0${newName}\0`, 'latin1')
    const request = newRequest(OPCODE.RENAME, from.daemonId, 8 + names.length, caller)
    request.writeBigUInt64LE(to.daemonId, IN.body)
    names.copy(request, IN.body + 8)
    const moved = (): void => {
      this.#nodes.moved(from, name, to, newName, false)
      done()
    }
    this.#own.ask(request, {
      done: moved,
      failed: (errno) => {
        this.#rediscovery.lookUp(to, newName, {
          done: (entry) => {
            const found = foundIn(entry)
            if (found === undefined || !this.#nodes.matches(file, found)) failed(errno)
            else moved()
          },
          failed: () => failed(errno),
        })
      },
    })
  }

  #remove(file: Node, hidden: Hidden): void {
    const link = linkOf(file, hidden)
    if (!this.#serving || hidden.removing || hidden.moving) return
    if (link === undefined) {
      this.#gone(file)
      return
    }
    hidden.removing = true
    const { parent, name } = link
    const failed = (errno: number): void => {
      this.#nodes.unlink(file, parent, name)
      this.#nodes.dropUnused(parent)
      if (linkOf(file, hidden) !== undefined) {
        // A daemon that was moving it has ended.
        hidden.removing = false
        this.#remove(file, hidden)
        return
      }
      if (errno !== ENOENT)
        this.#warn(`the file ${name}, which was removed while it was open, cannot be removed: errno ${errno}; remove it`)
      this.#gone(file)
    }
    const ask = (): void => {
      const bytes = Buffer.from(`${name}\0`, 'latin1')
      const request = newRequest(OPCODE.UNLINK, parent.daemonId, bytes.length, hidden.caller)
      bytes.copy(request, IN.body)
      this.#own.ask(request, { done: () => failed(ENOENT), failed })
    }
    this.#whenCurrent([parent], { done: ask, failed })
  }

  #gone(file: Node): void {
    this.#shown(file)
    this.#nodes.dropUnused(file)
    const removals = this.#removals
    this.#removals = []
    for (const act of removals) act()
  }

  #shown(file: Node): void {
    this.forget(file)
    this.#notes.shown(file)
  }
}

/** Where the name is that a file is hidden under: in two directories while it is moved. */
function linkOf(file: Node, { name }: Hidden): Node['links'][number] | undefined {
  return file.links.find((link) => link.name === name)
}
