import { constants } from 'node:os'
import { OPCODE, OUT_HEADER_SIZE } from '../fuse/protocol/constants.ts'
import { encodeResend } from '../fuse/protocol/notifications.ts'
import { wantsReply } from '../fuse/protocol/requests.ts'
import { Writer } from '../fuse/protocol/writer.ts'
import type { Device } from '../fuse/session/device.ts'
import { Answers } from './answers.ts'
import type { DaemonChannel } from './daemon-channel.ts'
import { DoubtfulChanges } from './doubtful-changes.ts'
import { type Handle, HandleTable } from './handles.ts'
import { Flushes } from './flushes.ts'
import { agreementOf, offer, resends, settle } from './handshake.ts'
import { HiddenFiles } from './hidden-files.ts'
import { Hold, type HoldReport } from './hold.ts'
import { Interrupts } from './interrupts.ts'
import { KernelReplies } from './kernel-replies.ts'
import { Listings } from './listings.ts'
import { IN, MESSAGE_SIZE, newRequest, OUT } from './messages.ts'
import { type Node, NodeTable } from './nodes.ts'
import { translateNotification } from './notifications.ts'
import { OwnRequests } from './own-requests.ts'
import { Pending } from './pending.ts'
import { Rediscovery, type Waiter } from './rediscovery.ts'
import { invalidation, invalidations } from './stale-caches.ts'
import type { CountName, ShieldState, StateTables } from './state.ts'
import { Suspects } from './suspects.ts'

const { EAGAIN, EBADF, EINTR, EIO, ENODEV, ENOSYS, ESTALE } = constants.errno

/** A request that was with so many daemons in a row when they ended is a suspect. If the next one ends with it alone, it is not given to another. */
const CRASHES_OF_SUSPECTS = 2

/** Bytes of contents that take longer to copy than the next message is polled for. */
const LARGE = 32 * 1024
/** Where struct fuse_read_in has how many bytes are to be read. */
const READ_LENGTH = IN.body + 16

/** Requests that are read at once of those that the kernel sends again. */
const AT_ONCE = 64

/** What the relay tells of itself. */
export interface RelayHooks {
  /** The daemon has answered INIT, and the kernel has its answer: the first one, or one that agrees with it. */
  ready(): void
  /** The daemon cannot serve; its requests are kept for another. */
  refused(why: string): void
  /** The daemon reads no more, and will end. */
  hungUp(): void
  /** The kernel's connection is over. */
  over(): void
  warning(text: string): void
  /**
   * Writes notifications to the kernel one after another, in another thread, and calls `written` after the last: the kernel may wait for an answer of the relay meanwhile.
   */
  notify(messages: Iterable<Buffer>, written?: () => void): void
}

/** What was done so far, by earlier processes too, and what there is now. */
export interface RelayCounts extends Readonly<Record<CountName, number>> {
  /** Requests without an answer. */
  readonly inFlight: number
  readonly nodes: number
  readonly openFiles: number
}

/**
 * Passes on what the kernel asks of one FUSE connection to a daemon, and its answers back. The kernel's side lives on when the daemon ends: nodes and open files
 * have ids of the relay's own, and each daemon's are found out by LOOKUP and OPEN when a request first needs them. A request without an answer is given to the
 * next daemon. No call of it waits.
 */
export class Relay {
  readonly #device: Device
  readonly #hooks: RelayHooks
  readonly #nodes: NodeTable
  readonly #handles: HandleTable
  readonly #state: ShieldState
  readonly #pending = new Map<bigint, Pending>()
  readonly #own = new OwnRequests()
  readonly #rediscovery: Rediscovery
  readonly #doubtfulChanges: DoubtfulChanges
  readonly #hidden: HiddenFiles
  readonly #replies: KernelReplies
  readonly #answers: Answers
  readonly #listings: Listings
  readonly #suspects = new Suspects((suspect) => this.#forward(suspect))
  readonly #interrupts = new Interrupts<Pending>((pending) => this.#letGo(pending))
  readonly #request = Buffer.alloc(MESSAGE_SIZE)
  readonly #reply = Buffer.alloc(MESSAGE_SIZE)
  /** Changes of names that an earlier daemon may have made. While there are any, nothing else is asked: nobody knows what has which name. */
  readonly #unsettled = new Set<Pending>()
  #channel: DaemonChannel | undefined
  /** The daemon's INIT is answered. */
  #serving = false
  /** What every daemon gets, once the kernel has sent it. */
  #init: Buffer | undefined
  #agreement: string | undefined
  /** Whether a successor can have the requests again that are not answered; undefined until INIT has come. */
  #resends: boolean | undefined
  /** The connection is over. */
  #isOver = false
  #polled = true
  #hold: Hold | undefined
  /** Sequences of notifications that have the kernel forget its caches, and that are not written yet. */
  #forgets = 0
  /** Ids of nodes whose contents the kernel is to forget once nothing of them is read or written: a notification would wait for that in the kernel, where no signal ends it. */
  readonly #keptContents = new Set<bigint>()

  /** `state`: what a successor is to know. One of an earlier process is to be taken over next. */
  constructor(device: Device, stableInodes: boolean, hooks: RelayHooks, state: ShieldState) {
    this.#device = device
    this.#hooks = hooks
    this.#state = state
    this.#nodes = new NodeTable(stableInodes, (daemonId, lookups) => this.#forget(daemonId, lookups), state)
    this.#handles = new HandleTable(state)
    this.#rediscovery = new Rediscovery(this.#nodes, this.#handles, this.#own, {
      stale: () => state.add('lost'),
      afterChange: (directory, act) => this.#afterChange(directory, act),
    })
    this.#doubtfulChanges = new DoubtfulChanges(this.#nodes, this.#own, this.#rediscovery)
    this.#hidden = new HiddenFiles({
      nodes: this.#nodes,
      own: this.#own,
      rediscovery: this.#rediscovery,
      notes: state,
      warn: (text) => hooks.warning(text),
      settled: () => this.#forwardAll(),
    })
    this.#replies = new KernelReplies(device, state)
    this.#answers = new Answers({
      nodes: this.#nodes,
      handles: this.#handles,
      rediscovery: this.#rediscovery,
      hidden: this.#hidden,
      replies: this.#replies,
    })
    this.#listings = new Listings(this.#nodes, this.#rediscovery, this.#hidden, this.#replies, state)
    state.attach(this.#tables)
  }

  get counts(): RelayCounts {
    return {
      ...this.#state.totals,
      inFlight: this.#pending.size,
      nodes: this.#nodes.size,
      openFiles: this.#handles.size,
    }
  }

  /** Whether a successor can have the requests again that are not answered (Linux 6.9). */
  get resends(): boolean {
    return this.#resends === true
  }

  /**
   * Goes on with what a process has left that was killed: knows what that knew, and reads what the kernel has no answer to, before a daemon is connected. Throws Error if
   * its state cannot be read.
   */
  resume(): void {
    this.#state.restore(this.#tables)
    const { init, agreement } = this.#state.facts
    this.#init = init === undefined ? undefined : Buffer.from(init, 'base64')
    this.#agreement = agreement
    this.#resends = true
    const request = new Writer(OUT_HEADER_SIZE)
    encodeResend(request)
    this.#device.write(request.buffer, request.length)
    while (!this.#isOver && this.serveDevice(AT_ONCE) > 0);
    this.#state.allAgain()
  }

  get #tables(): StateTables {
    return { nodes: this.#nodes, handles: this.#handles, hidden: this.#hidden }
  }

  /** INIT as every daemon gets it; undefined before the kernel has sent it. */
  get init(): Buffer | undefined {
    return this.#init
  }

  /** Changes a daemon's answer to INIT into the kernel's. Returns why the daemon cannot serve; undefined if it can. */
  disagreement(answer: Buffer): string | undefined {
    if (answer.length < OUT.body + 24 || answer.readInt32LE(OUT.error) !== 0) return 'has refused INIT'
    settle(answer)
    const agreement = agreementOf(answer)
    if (this.#agreement === undefined || this.#agreement === agreement) return undefined
    return `has agreed on ${agreement}, where the mount lives with ${this.#agreement}`
  }

  /** A daemon that has answered INIT, and agrees, is there instead of the one that has ended. */
  takeOver(channel: DaemonChannel): void {
    this.#channel = channel
    this.#begin()
  }

  /** Keeps new requests back, and calls `drained` when the daemon owes no answer, or has ended. */
  hold(drained: () => void): void {
    this.#hold = new Hold(drained)
    this.#lookWhetherDrained()
  }

  /** Requests that the daemon has and has not answered: the threads that wait for them. */
  owed(): readonly number[] {
    return [...this.#pending.values()].filter(({ tried }) => tried).map(({ caller }) => caller)
  }

  /** Has the daemon store what was written to open files. Nothing is told if the daemon ends before. */
  flush(flushed: (count: number, errno: number | undefined) => void): void {
    new Flushes(this.#handles, this.#own).flush(flushed)
  }

  /** Gives what is held to the daemon that serves, or to the next one. */
  release(): HoldReport {
    const hold = this.#hold
    this.#hold = undefined
    if (this.#serving) this.#forwardAll()
    return hold?.report() ?? { held: 0, longest: 0 }
  }

  /** Has the kernel forget what it has cached, because another daemon may say something else. Calls `forgotten` when it has. */
  forgetCaches(forgotten: () => void): void {
    const minor = this.#init?.readUInt32LE(IN.body + 4) ?? 0
    const keeps = (node: Node): boolean => {
      const isKept = this.#isTransferred(node.id)
      if (isKept) this.#keptContents.add(node.id)
      return isKept
    }
    this.#haveForgotten(invalidations(minor, this.#nodes.known(), keeps), forgotten)
  }

  /** A new daemon is there. It is asked for INIT first. */
  connect(channel: DaemonChannel): void {
    this.#channel = channel
    if (this.#init !== undefined) channel.send(this.#init, this.#init.length)
  }

  /** The daemon has ended. What it has not answered is kept for the next one. */
  disconnect(): void {
    this.#channel = undefined
    this.#serving = false
    this.#own.serve(undefined)
    this.#rediscovery.stop()
    this.#hidden.stop()
    this.#unsettled.clear()
    const culprit = this.#suspects.stop()
    for (const pending of [...this.#pending.values()]) this.#outlive(pending, culprit)
    this.#lookWhetherDrained()
  }

  /** Whether there are files that the daemon is to remove in the end. */
  get hidesFiles(): boolean {
    return this.#hidden.any
  }

  /** Has the daemon remove what it is to remove in the end, and calls `removed` when it has; never if it ends before. */
  leave(removed: () => void): void {
    this.#hidden.removeAll(removed)
  }

  /** Whether the next message of the kernel or the daemon is polled for: not while contents are being copied, when reader and daemon need the processors. */
  get polled(): boolean {
    return this.#polled
  }

  /** Reads up to `most` requests of the kernel; how many there were. */
  serveDevice(most: number): number {
    const count = this.#readDevice(most)
    this.#state.settle()
    return count
  }

  /** Reads up to `most` messages of the daemon; how many there were. */
  serveChannel(most: number): number {
    const count = this.#readChannel(most)
    this.#state.settle()
    return count
  }

  #readDevice(most: number): number {
    for (let count = 0; count < most; count++) {
      const length = this.#device.read(this.#request)
      if (length === -EAGAIN) return count
      if (length === -ENODEV) {
        this.#isOver = true
        this.#hooks.over()
        return count + 1
      }
      // ENOENT: it was interrupted just before; EINTR: a signal.
      if (length > 0) this.#fromKernel(this.#request.subarray(0, length))
      // Who has asked waits: a look for a second request would be in vain, and takes as long as the first.
      if (this.#pending.size === 1) return count + 1
    }
    return most
  }

  #readChannel(most: number): number {
    for (let count = 0; count < most; count++) {
      const channel = this.#channel
      if (channel === undefined) return count
      const length = channel.receive(this.#reply)
      if (length === undefined) return count
      if (length === 0) {
        this.#hooks.hungUp()
        return count + 1
      }
      this.#polled = length <= LARGE
      this.#fromDaemon(this.#reply.subarray(0, Math.min(length, this.#reply.length)), length)
      this.#lookWhetherDrained()
      // It owes nothing.
      if (this.#pending.size === 0 && this.#own.idle) return count + 1
    }
    return most
  }

  #fromKernel(bytes: Buffer): void {
    const opcode = bytes.readUInt32LE(IN.opcode)
    const unique = bytes.readBigUInt64LE(IN.unique)
    switch (opcode) {
      case OPCODE.INIT:
        this.#resends = resends(bytes)
        this.#init = Buffer.from(bytes)
        offer(this.#init)
        this.#channel?.send(this.#init, this.#init.length)
        return
      case OPCODE.FORGET:
        this.#forgotten(bytes.readBigUInt64LE(IN.nodeid), bytes.readBigUInt64LE(IN.body))
        return
      case OPCODE.BATCH_FORGET:
        for (let at: number = IN.body + 8; at + 16 <= bytes.length; at += 16)
          this.#forgotten(bytes.readBigUInt64LE(at), bytes.readBigUInt64LE(at + 8))
        return
      case OPCODE.INTERRUPT:
        this.#interrupt(bytes.readBigUInt64LE(IN.body))
        return
    }
    if (!wantsReply(opcode)) return
    const pending = Pending.of(bytes)
    if (pending === undefined) {
      this.#replies.refuse(unique, ENOSYS)
      return
    }
    this.#pending.set(unique, pending)
    if (pending.again && !this.#sentAgain(pending)) return
    if (opcode === OPCODE.OPEN) {
      pending.opening = this.#nodes.byId(pending.nodeid)
      if (pending.opening !== undefined) pending.opening.opens++
    }
    this.#forward(pending)
  }

  /** The kernel sends a request again that an earlier process of ours had. Returns whether it is to be done. */
  #sentAgain(pending: Pending): boolean {
    this.#state.add('resent')
    const { maybeDone, done } = this.#state.again(pending.firstUnique)
    pending.maybeDone = maybeDone
    pending.hid = this.#hidden.reclaim(pending.firstUnique)
    if (done && pending.takesNames) this.#end(pending, 0)
    else if (maybeDone && pending.once) {
      this.#state.add('undecided')
      this.#end(pending, EIO)
    } else return true
    return false
  }

  /** Gives a request to the daemon, once it knows the node and the open file; without a daemon it is kept. */
  #forward(pending: Pending): void {
    if (pending.answered || pending.sent || pending.waiting || pending.over) return
    const { nodeid, otherNodeid, fh } = pending
    const node = this.#nodes.byId(nodeid)
    const other = otherNodeid === undefined ? undefined : this.#nodes.byId(otherNodeid)
    const handle = fh === undefined ? undefined : this.#handles.byId(fh)
    if (node === undefined || (otherNodeid !== undefined && other === undefined)) {
      this.#end(pending, ESTALE)
      return
    }
    if (handle === undefined && (fh !== undefined || pending.opcode === OPCODE.READDIR)) {
      this.#end(pending, EBADF)
      return
    }
    if (handle !== undefined && this.#answeredHere(pending, handle)) return
    if (
      this.#hold?.keeps(pending) === true ||
      !this.#serving ||
      pending.held ||
      this.#hidden.settling ||
      (this.#unsettled.size > 0 && !this.#unsettled.has(pending))
    )
      return
    pending.tried = true
    pending.waiting = true
    if (!this.#nodes.isCurrent(node)) this.#rediscovery.resolve(node, this.#waiterOf(pending))
    else if (other !== undefined && !this.#nodes.isCurrent(other)) this.#rediscovery.resolve(other, this.#waiterOf(pending))
    else if (handle !== undefined && !this.#handles.isCurrent(handle)) this.#rediscovery.reopen(handle, this.#waiterOf(pending))
    else if (pending.opcode === OPCODE.READDIR && handle !== undefined) {
      if (this.#listings.answer(pending, node, handle, this.#waiterOf(pending))) this.#over(pending)
    } else if (pending.shape.check === undefined || !this.#hidden.prepare(pending, node, other, this.#waiterOf(pending))) {
      pending.waiting = false
      // The file has another name instead.
      if (pending.opcode === OPCODE.UNLINK && pending.hid !== undefined) this.#end(pending, 0)
      else this.#send(pending, node, handle, other)
    }
  }

  /** Goes on with a request when the daemon has answered what it was asked for its sake. */
  #waiterOf(pending: Pending): Waiter {
    return {
      done: () => {
        pending.waiting = false
        this.#forward(pending)
      },
      failed: (errno) => this.#end(pending, errno),
    }
  }

  /**
   * A file that the daemon has not opened needs not be closed there. Nothing of one that is only read needs to be written. FLUSH of such a file is never passed on: no
   * signal ends the kernel's wait for it, so that a process that is killed would not end while the daemon hangs.
   */
  #answeredHere(pending: Pending, handle: Handle): boolean {
    const { opcode } = pending
    const isRelease = opcode === OPCODE.RELEASE || opcode === OPCODE.RELEASEDIR
    const isEmptyFlush = handle.readOnly && opcode === OPCODE.FLUSH
    if (!isRelease && !isEmptyFlush && !(handle.readOnly && (opcode === OPCODE.FSYNC || opcode === OPCODE.FSYNCDIR))) return false
    const isOpen = this.#serving && this.#handles.isCurrent(handle) && handle.daemonHandle !== undefined
    if (isOpen && !isEmptyFlush) return false
    this.#end(pending, 0)
    if (isRelease) this.#answers.closed(handle)
    return true
  }

  #send(pending: Pending, node: Node, handle: Handle | undefined, other: Node | undefined): void {
    const { bytes, shape } = pending
    const { fh: at, otherNode } = shape
    bytes.writeBigUInt64LE(handle?.daemonNode ?? node.daemonId, IN.nodeid)
    if (at !== undefined && handle !== undefined) bytes.writeBigUInt64LE(handle.daemonHandle ?? 0n, IN.body + at)
    if (otherNode !== undefined && other !== undefined) bytes.writeBigUInt64LE(other.daemonId, IN.body + otherNode)
    pending.sent = true
    if (isNoted(pending)) this.#state.changeSent(pending.firstUnique)
    this.#polled = bytes.length <= LARGE && (pending.opcode !== OPCODE.READ || bytes.readUInt32LE(READ_LENGTH) <= LARGE)
    this.#channel?.send(bytes, bytes.length)
  }

  #fromDaemon(message: Buffer, length: number): void {
    if (message.length < OUT_HEADER_SIZE) {
      this.#hooks.warning(`the daemon has sent ${message.length} bytes, which are no message`)
      return
    }
    const unique = message.readBigUInt64LE(OUT.unique)
    const isWhole = length === message.length && message.readUInt32LE(OUT.length) === length
    if (unique === 0n) {
      if (isWhole) this.#notification(message)
      return
    }
    const error = isWhole ? -message.readInt32LE(OUT.error) : EIO
    if (!isWhole) this.#hooks.warning(`an answer of the daemon came in pieces of ${length} bytes; the request fails with EIO`)
    if (!this.#serving && this.#init?.readBigUInt64LE(IN.unique) === unique) {
      this.#initialised(message, error)
      return
    }
    const own = this.#own.idle ? undefined : this.#own.take(unique)
    if (own !== undefined) {
      if (error === 0) own.done(message.subarray(OUT.body))
      else own.failed(error)
      return
    }
    const pending = this.#pending.get(unique)
    if (pending === undefined) return
    if (error === 0) this.#conclude(pending, message, 0)
    else if (this.#doubtfulChanges.concerns(pending))
      this.#doubtfulChanges.judge(pending, error, {
        done: (body) => {
          this.#state.add('takenAsDone')
          this.#conclude(pending, replyOf(unique, body), 0)
        },
        refused: (errno) => this.#refused(pending, errno),
      })
    else if (pending.hid !== undefined) this.#refused(pending, error)
    else this.#conclude(pending, message, error)
  }

  #conclude(pending: Pending, message: Buffer, error: number): void {
    this.#answers.give(pending, message, error)
    this.#over(pending)
  }

  /** A change of names has failed. */
  #refused(pending: Pending, errno: number): void {
    if (pending.hid === undefined) this.#end(pending, errno)
    else this.#hidden.giveBack(pending.hid, pending.identity, () => this.#end(pending, errno))
  }

  /** The daemon has answered INIT. */
  #initialised(message: Buffer, error: number): void {
    const refusal = error === 0 ? this.disagreement(message) : 'has refused INIT'
    if (refusal !== undefined) {
      this.#hooks.refused(refusal)
      return
    }
    if (this.#agreement === undefined) {
      const agreement = agreementOf(message)
      this.#state.note({ init: this.#init?.toString('base64'), agreement })
      if (this.#device.write(message, message.length) !== 0) {
        this.#hooks.refused('has answered INIT with what the kernel does not take')
        return
      }
      this.#agreement = agreement
    }
    this.#begin()
  }

  /** The daemon serves. */
  #begin(): void {
    this.#serving = true
    this.#state.add('daemons')
    this.#own.serve(this.#channel)
    this.#nodes.begin()
    this.#handles.begin()
    this.#hooks.ready()
    for (const pending of this.#pending.values())
      if ((pending.crashes > 0 || pending.again) && pending.shape.check !== undefined && !pending.held) this.#unsettled.add(pending)
    this.#hidden.begin()
    this.#forwardAll()
    this.#suspects.begin()
  }

  #lookWhetherDrained(): void {
    if (this.#hold === undefined || !this.#own.idle) return
    for (const { tried } of this.#pending.values()) if (tried) return
    this.#hold.drained()
  }

  #forwardAll(): void {
    for (const pending of [...this.#pending.values()]) this.#forward(pending)
  }

  /** The kernel has forgotten lookups of a node. */
  #forgotten(id: bigint, lookups: bigint): void {
    const node = this.#nodes.byId(id)
    if (node !== undefined) this.#nodes.forgotten(node, Number(lookups))
  }

  #forget(daemonId: bigint, lookups: number): void {
    const request = newRequest(OPCODE.FORGET, daemonId, 8)
    request.writeBigUInt64LE(BigInt(lookups), IN.body)
    this.#own.announce(request)
  }

  #interrupt(target: bigint): void {
    const pending = this.#pending.get(target)
    if (pending !== undefined && !pending.answered) this.#interrupts.add(pending)
  }

  /** The caller of a request is being killed. */
  #letGo(pending: Pending): void {
    this.#replies.fail(pending, EINTR)
    pending.answered = true
    // What the daemon has done for it is still to be undone.
    if (!pending.sent) this.#abandon(pending)
  }

  /** The kernel has the answer of a request, and the daemon will not do it. */
  #abandon(pending: Pending): void {
    if (pending.hid !== undefined) this.#hidden.abandon(pending.firstUnique)
    this.#over(pending)
  }

  /** The daemon that a request may have been with has ended. `culprit`: the suspect that it was given last. */
  #outlive(pending: Pending, culprit: Pending | undefined): void {
    pending.followers = undefined
    if (pending.answered) {
      this.#abandon(pending)
      return
    }
    const { tried, sent } = pending
    if (!tried) return
    pending.tried = false
    pending.waiting = false
    pending.sent = false
    this.#state.add('resent')
    if (sent) pending.maybeDone = true
    if (sent && pending.once) {
      this.#state.add('undecided')
      this.#end(pending, EIO)
    } else if (pending === culprit) {
      this.#state.add('suspectsFailed')
      const daemons = CRASHES_OF_SUSPECTS + 1
      this.#hooks.warning(
        `a request of process ${pending.caller} was with ${daemons} daemons in a row that ended; it fails with EIO`,
      )
      this.#end(pending, EIO)
    } else if (!pending.held && ++pending.crashes === CRASHES_OF_SUSPECTS) {
      this.#hooks.warning(
        `a request of process ${pending.caller} was with ${CRASHES_OF_SUSPECTS} daemons in a row that ended; such requests are tried again one at a time`,
      )
      this.#suspects.add(pending)
    }
  }

  #notification(message: Buffer): void {
    const translated = translateNotification(message, this.#nodes)
    if (translated !== undefined) this.#hooks.notify([translated])
  }

  #haveForgotten(notifications: Iterable<Buffer>, forgotten: () => void): void {
    this.#forgets++
    this.#hooks.notify(notifications, () => {
      this.#forgets--
      if (this.#forgets === 0 && this.#keptContents.size === 0) this.#state.note({ cachesDiffer: false })
      forgotten()
    })
  }

  /** Whether the kernel waits for contents of a file, or for them to be written. */
  #isTransferred(id: bigint): boolean {
    for (const { nodeid, opcode } of this.#pending.values())
      if (nodeid === id && (opcode === OPCODE.READ || opcode === OPCODE.WRITE)) return true
    return false
  }

  /** A request about a node is done with. */
  #lookWhetherTransferred(id: bigint): void {
    if (!this.#keptContents.has(id) || this.#isTransferred(id)) return
    this.#keptContents.delete(id)
    this.#haveForgotten([invalidation(id)], () => undefined)
  }

  /** Answers a request with an error, or 0 if nothing else is to be said. */
  #end(pending: Pending, errno: number): void {
    if (pending.over) return
    this.#replies.fail(pending, errno)
    this.#over(pending)
  }

  /** A request is done with. */
  #over(pending: Pending): void {
    pending.over = true
    this.#pending.delete(pending.unique)
    this.#interrupts.delete(pending)
    this.#suspects.over(pending)
    if (pending.again || isNoted(pending)) this.#state.changeOver(pending.firstUnique)
    if (this.#keptContents.size > 0) this.#lookWhetherTransferred(pending.nodeid)
    if (pending.hid !== undefined) this.#hidden.over(pending.firstUnique)
    const { opening } = pending
    if (opening !== undefined) {
      opening.opens--
      this.#hidden.closed(opening)
      this.#nodes.dropUnused(opening)
    }
    if (this.#unsettled.delete(pending) && this.#unsettled.size === 0) this.#forwardAll()
    for (const act of pending.followers ?? []) act()
  }

  /** Has `act` be called when a change of names in a directory is done with which the daemon has been given. Returns false if there is none. */
  #afterChange(directory: Node, act: () => void): boolean {
    for (const pending of this.#pending.values()) {
      const { sent, takesNames, nodeid, otherNodeid, followers = [] } = pending
      if (!sent || !takesNames || (nodeid !== directory.id && otherNodeid !== directory.id)) continue
      pending.followers = [...followers, act]
      return true
    }
    return false
  }
}

/** Whether it matters to a successor that the daemon was given it: it cannot just be done again. */
function isNoted({ shape, once }: Pending): boolean {
  return shape.check !== undefined || once
}

/** A reply as if the daemon had sent it. */
function replyOf(unique: bigint, body: Buffer): Buffer {
  const reply = Buffer.concat([Buffer.alloc(OUT.body), body])
  reply.writeUInt32LE(reply.length, OUT.length)
  reply.writeBigUInt64LE(unique, OUT.unique)
  return reply
}
