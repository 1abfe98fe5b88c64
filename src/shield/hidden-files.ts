import { constants } from 'node:os'
import { OPCODE } from '../fuse/protocol/constants.ts'
import { randomHex } from '../os/random.ts'
import { type Caller, DIRECTORY, foundIn, IN, newRequest } from './messages.ts'
import type { Node, NodeTable } from './nodes.ts'
import type { OwnRequests } from './own-requests.ts'
import type { Pending } from './pending.ts'
import type { Rediscovery, Waiter } from './rediscovery.ts'

const { ENOENT } = constants.errno

export interface Hidden {
  readonly name: string
  /** Who took its name away: the file is removed in that name. */
  readonly caller: Caller
  removing: boolean
}

/** What notes all changes of the hidden files, so that a successor can have them. */
interface HiddenNotes {
  /** At once: the daemon is asked next. */
  hiding(file: Node, name: string): void
  hidden(file: Node, name: string, caller: Caller): void
  shown(file: Node): void
}

/** The dependencies of {@link HiddenFiles}. */
interface HiddenFilesParts {
  readonly nodes: NodeTable
  readonly own: OwnRequests
  readonly rediscovery: Rediscovery
  readonly notes: HiddenNotes
  readonly warn: (text: string) => void
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
  readonly #files = new Map<Node, Hidden>()
  readonly #names = new Set<string>()
  /** The names of files that are being hidden, which the next daemon is asked for again. */
  readonly #chosen = new Map<Node, string>()
  /** Called when one more file is removed; dropped when the daemon ends. */
  #removals: (() => void)[] = []
  readonly #prefix = `.dummy-shield-${randomHex(8)}-`
  #count = 0
  #serving = false

  constructor({ nodes, own, rediscovery, notes, warn }: HiddenFilesParts) {
    this.#nodes = nodes
    this.#own = own
    this.#rediscovery = rediscovery
    this.#notes = notes
    this.#warn = warn
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
    this.#files.set(file, { name, caller, removing: false })
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
      this.closed(file)
    }
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
      this.closed(file)
      waiter.done()
    }
    this.#move({ file, from: parent, name: taken, to: parent, newName: hiddenName, caller: pending.identity }, { done, failed })
    return true
  }

  /** A request that has hidden a file has failed: the file gets its name back, if it still can. */
  giveBack({ hid, identity }: Pending, done: () => void): void {
    const hidden = hid === undefined ? undefined : this.#files.get(hid.file)
    const [link] = hid?.file.links ?? []
    if (hid === undefined || hidden === undefined || link === undefined || hidden.removing) {
      done()
      return
    }
    const { file, directory, name } = hid
    const back = (): void => {
      this.#shown(file)
      done()
    }
    this.#move(
      { file, from: link.parent, name: link.name, to: directory, newName: name, caller: identity },
      { done: back, failed: done },
    )
  }

  /** One who had a file open has closed it. */
  closed(file: Node): void {
    const hidden = this.#files.get(file)
    if (hidden !== undefined && file.opens === 0) this.#remove(file, hidden)
  }

  /** Removes all of them, open or not, and calls `removed` when the daemon has; never if it ends before. */
  removeAll(removed: () => void): void {
    const look = (): void => {
      if (this.#files.size === 0) removed()
      else this.#removals.push(look)
    }
    for (const [file, hidden] of this.#files) this.#remove(file, hidden)
    look()
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
      const move = { file, from: directory, name: hidden.name, to: parent, newName: hidden.name, caller: pending.identity }
      this.#move(move, { done: waiter.done, failed })
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
    const [link] = file.links
    if (!this.#serving || hidden.removing) return
    if (link === undefined) {
      this.#gone(file)
      return
    }
    hidden.removing = true
    const { parent, name } = link
    const failed = (errno: number): void => {
      if (errno !== ENOENT)
        this.#warn(`the file ${name}, which was removed while it was open, cannot be removed: errno ${errno}; remove it`)
      this.#nodes.absent(parent, name)
      this.#gone(file)
    }
    const ask = (): void => {
      const bytes = Buffer.from(`${name}\0`, 'latin1')
      const request = newRequest(OPCODE.UNLINK, parent.daemonId, bytes.length, hidden.caller)
      bytes.copy(request, IN.body)
      this.#own.ask(request, { done: () => failed(ENOENT), failed })
    }
    if (this.#nodes.isCurrent(parent)) ask()
    else this.#rediscovery.resolve(parent, { done: ask, failed })
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
