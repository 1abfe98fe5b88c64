import { constants } from 'node:os'
import { FOPEN, OPCODE, OUT_HEADER_SIZE } from '../fuse/protocol/constants.ts'
import { wantsReply } from '../fuse/protocol/requests.ts'
import type { Device } from '../fuse/session/device.ts'
import type { DaemonChannel } from './daemon-channel.ts'
import { DoubtfulChanges } from './doubtful-changes.ts'
import { type Handle, HandleTable } from './handles.ts'
import { agreementOf, offer, settle } from './handshake.ts'
import { Interrupts } from './interrupts.ts'
import { ATTR_INO, ENTRY, foundIn, IN, newRequest, OPEN_SIZE, OUT, STATX_INO } from './messages.ts'
import { type Found, type Node, NodeTable } from './nodes.ts'
import { translateNotification } from './notifications.ts'
import { OwnRequests } from './own-requests.ts'
import { Pending } from './pending.ts'
import { Rediscovery, type Waiter } from './rediscovery.ts'

const { EAGAIN, EBADF, EINTR, EIO, ENODEV, ENOENT, ENOSYS, ESTALE } = constants.errno

/** Bytes of a message: 32 pages, and room for the headers. */
const MESSAGE_SIZE = 132 * 1024 + 4096

/** A request that was with so many daemons in a row when they ended is not given to another. */
const MOST_CRASHES = 3

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
  /** Writes a notification of the daemon's to the kernel, in another thread: the kernel may wait for an answer of the relay meanwhile. */
  notify(message: Buffer): void
}

/** What the relay has done so far. */
export interface RelayCounts {
  /** Daemons that have served. */
  readonly daemons: number
  /** Requests that were given to another daemon when one ended. */
  readonly resent: number
  /** Files that could not be found again. */
  readonly stale: number
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
  readonly #handles = new HandleTable()
  readonly #pending = new Map<bigint, Pending>()
  readonly #own = new OwnRequests()
  readonly #rediscovery: Rediscovery
  readonly #doubtfulChanges: DoubtfulChanges
  readonly #request = Buffer.alloc(MESSAGE_SIZE)
  readonly #reply = Buffer.alloc(MESSAGE_SIZE)
  readonly #answer = Buffer.alloc(MESSAGE_SIZE)
  readonly #interrupts = new Interrupts<Pending>((pending) => this.#letGo(pending))
  #channel: DaemonChannel | undefined
  /** The daemon's INIT is answered. */
  #serving = false
  /** What every daemon gets, once the kernel has sent it. */
  #init: Buffer | undefined
  #agreement: string | undefined
  #daemons = 0
  #resent = 0

  constructor(device: Device, stableInodes: boolean, hooks: RelayHooks) {
    this.#device = device
    this.#hooks = hooks
    this.#nodes = new NodeTable(stableInodes, (daemonId, lookups) => this.#forget(daemonId, lookups))
    this.#rediscovery = new Rediscovery(this.#nodes, this.#handles, this.#own)
    this.#doubtfulChanges = new DoubtfulChanges(this.#nodes, this.#own, this.#rediscovery)
  }

  get counts(): RelayCounts {
    return { daemons: this.#daemons, resent: this.#resent, stale: this.#rediscovery.stale }
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
    for (const pending of [...this.#pending.values()]) this.#outlive(pending)
  }

  /** Reads up to `most` requests of the kernel; how many there were. */
  serveDevice(most: number): number {
    for (let count = 0; count < most; count++) {
      const length = this.#device.read(this.#request)
      if (length === -EAGAIN) return count
      if (length === -ENODEV) {
        this.#hooks.over()
        return count + 1
      }
      // ENOENT: it was interrupted just before; EINTR: a signal.
      if (length > 0) this.#fromKernel(this.#request.subarray(0, length))
    }
    return most
  }

  /** Reads up to `most` messages of the daemon; how many there were. */
  serveChannel(most: number): number {
    for (let count = 0; count < most; count++) {
      const channel = this.#channel
      if (channel === undefined) return count
      const length = channel.receive(this.#reply)
      if (length === undefined) return count
      if (length === 0) {
        this.#hooks.hungUp()
        return count + 1
      }
      this.#fromDaemon(this.#reply.subarray(0, Math.min(length, this.#reply.length)), length)
    }
    return most
  }

  #fromKernel(bytes: Buffer): void {
    const opcode = bytes.readUInt32LE(IN.opcode)
    const unique = bytes.readBigUInt64LE(IN.unique)
    switch (opcode) {
      case OPCODE.INIT:
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
      this.#refuse(unique, ENOSYS)
      return
    }
    this.#pending.set(unique, pending)
    this.#forward(pending)
  }

  /** Gives a request to the daemon, once it knows the node and the open file; without a daemon it is kept. */
  #forward(pending: Pending): void {
    if (pending.answered || this.#pending.get(pending.unique) !== pending) return
    const { nodeid, otherNodeid, fh } = pending
    const node = this.#nodes.byId(nodeid)
    const other = otherNodeid === undefined ? undefined : this.#nodes.byId(otherNodeid)
    const handle = fh === undefined ? undefined : this.#handles.byId(fh)
    if (node === undefined || (otherNodeid !== undefined && other === undefined)) {
      this.#fail(pending, ESTALE)
      return
    }
    if (fh !== undefined && handle === undefined) {
      this.#fail(pending, EBADF)
      return
    }
    if (handle !== undefined && this.#answeredHere(pending, handle)) return
    if (!this.#serving) return
    pending.tried = true
    const waiter = { done: () => this.#forward(pending), failed: (errno: number) => this.#fail(pending, errno) }
    if (!this.#nodes.isCurrent(node)) this.#rediscovery.resolve(node, waiter)
    else if (other !== undefined && !this.#nodes.isCurrent(other)) this.#rediscovery.resolve(other, waiter)
    else if (handle !== undefined && !this.#handles.isCurrent(handle)) this.#rediscovery.reopen(handle, waiter)
    else if (pending.opcode === OPCODE.READDIR) this.#list(pending, node, handle, waiter)
    else this.#send(pending, node, handle, other)
  }

  /** A file that the daemon has not opened needs not be closed there. Nothing of one that is only read needs to be written. */
  #answeredHere(pending: Pending, handle: Handle): boolean {
    const { opcode } = pending
    const isRelease = opcode === OPCODE.RELEASE || opcode === OPCODE.RELEASEDIR
    if (!isRelease && !(handle.readOnly && (opcode === OPCODE.FLUSH || opcode === OPCODE.FSYNC || opcode === OPCODE.FSYNCDIR)))
      return false
    if (this.#serving && this.#handles.isCurrent(handle) && handle.daemonHandle !== undefined) return false
    this.#pending.delete(pending.unique)
    this.#respond(pending, OUT_HEADER_SIZE, 0)
    if (isRelease) this.#closed(handle)
    return true
  }

  #send(pending: Pending, node: Node, handle: Handle | undefined, other: Node | undefined): void {
    const { bytes, shape } = pending
    const { fh: at, otherNode } = shape
    bytes.copy(this.#answer)
    this.#answer.writeBigUInt64LE(node.daemonId, IN.nodeid)
    if (at !== undefined && handle !== undefined) this.#answer.writeBigUInt64LE(handle.daemonHandle ?? 0n, IN.body + at)
    if (otherNode !== undefined && other !== undefined) this.#answer.writeBigUInt64LE(other.daemonId, IN.body + otherNode)
    pending.sent = true
    this.#channel?.send(this.#answer, bytes.length)
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
    if (this.#init?.readBigUInt64LE(IN.unique) === unique && !this.#serving) {
      this.#initialised(message, error)
      return
    }
    const own = this.#own.take(unique)
    if (own !== undefined) {
      if (error === 0) own.done(message.subarray(OUT.body))
      else own.failed(error)
      return
    }
    const pending = this.#pending.get(unique)
    if (pending === undefined) return
    if (error === 0 || !this.#doubtfulChanges.concerns(pending)) {
      this.#conclude(pending, message, error)
      return
    }
    this.#doubtfulChanges.judge(pending, error, {
      done: (body) => {
        this.#conclude(pending, replyOf(unique, body), 0)
      },
      refused: (errno) => this.#fail(pending, errno),
    })
  }

  #conclude(pending: Pending, message: Buffer, error: number): void {
    this.#pending.delete(pending.unique)
    this.#interrupts.delete(pending)
    this.#answered(pending, message, error)
  }

  /** The daemon has answered INIT. */
  #initialised(message: Buffer, error: number): void {
    if (error !== 0 || message.length < OUT.body + 24) {
      this.#hooks.refused('has refused INIT')
      return
    }
    settle(message)
    const agreement = agreementOf(message)
    if (this.#agreement === undefined) {
      if (this.#device.write(message, message.length) !== 0) {
        this.#hooks.refused('has answered INIT with what the kernel does not take')
        return
      }
      this.#agreement = agreement
    } else if (this.#agreement !== agreement) {
      this.#hooks.refused(`has agreed on ${agreement}, where the mount lives with ${this.#agreement}`)
      return
    }
    this.#serving = true
    this.#daemons++
    this.#own.serve(this.#channel)
    this.#nodes.begin()
    this.#handles.begin()
    this.#hooks.ready()
    for (const pending of [...this.#pending.values()]) this.#forward(pending)
  }

  /** Changes the daemon's answer to a request into the kernel's, and notes what it says. */
  #answered(pending: Pending, message: Buffer, error: number): void {
    if (pending.opcode === OPCODE.RELEASE || pending.opcode === OPCODE.RELEASEDIR) {
      const handle = this.#handles.byId(pending.fh ?? 0n)
      if (handle !== undefined) this.#closed(handle)
    }
    if (error === 0) this.#noteNames(pending)
    const reply = pending.shape.reply
    if (reply === 'created') {
      this.#created(pending, message, error)
      return
    }
    if (reply === 'open' && error === 0 && message.length < OUT.body + OPEN_SIZE) {
      this.#pass(pending, message, EIO)
      return
    }
    if (reply === 'open' && (error === 0 || error === ENOSYS)) {
      this.#opened(pending, error === 0 ? message.subarray(OUT.body) : undefined)
      return
    }
    if (reply === 'entry') {
      this.#lookedUp(pending, message, error)
      return
    }
    const node = this.#nodes.byId(pending.nodeid)
    const ino = reply === 'attr' ? ATTR_INO : reply === 'statx' ? STATX_INO : undefined
    if (error === 0 && ino !== undefined && node !== undefined && message.length >= OUT.body + ino + 8)
      message.writeBigUInt64LE(this.#nodes.inoOf(node, message.readBigUInt64LE(OUT.body + ino)), OUT.body + ino)
    this.#pass(pending, message, error)
  }

  #lookedUp(pending: Pending, message: Buffer, error: number): void {
    const parent = this.#nodes.byId(pending.nodeid)
    if (parent === undefined) {
      this.#pass(pending, message, ESTALE)
      return
    }
    const [name] = pending.names
    const entry = message.subarray(OUT.body)
    const found = error === 0 ? foundIn(entry) : undefined
    if (found === undefined) {
      if (pending.opcode === OPCODE.LOOKUP && (error === 0 || error === ENOENT)) this.#nodes.absent(parent, name)
      this.#pass(pending, message, error)
      return
    }
    const node = this.#enter(parent, name, found, entry)
    if (this.#pass(pending, message, 0)) node.kernelLookups++
    else this.#nodes.dropUnused(node)
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
      this.#pass(pending, message, error === 0 ? EIO : error)
      return
    }
    const [name] = pending.names
    const node = this.#enter(parent, name, found, body)
    const handle = this.#handles.add(node, pending.identity, pending.openFlags)
    this.#handles.opened(handle, body.readBigUInt64LE(ENTRY.size))
    body.writeBigUInt64LE(handle.id, ENTRY.size)
    if (this.#pass(pending, message, 0)) {
      node.kernelLookups++
      return
    }
    // Nobody has learnt of it.
    this.#rediscovery.release(handle)
    this.#closed(handle)
  }

  /** Keeps up with names that a request has taken away or moved. */
  #noteNames(pending: Pending): void {
    const parent = this.#nodes.byId(pending.nodeid)
    const target = this.#nodes.byId(pending.otherNodeid ?? 0n)
    const [name, newName] = pending.names
    const { check } = pending.shape
    if (parent === undefined) return
    if (check === 'gone') this.#nodes.absent(parent, name)
    else if (check === 'moved' && target !== undefined) this.#nodes.moved(parent, name, target, newName, pending.isExchange)
  }

  /** `body`: struct fuse_open_out; undefined for a daemon that knows no handles. */
  #opened(pending: Pending, body: Buffer | undefined): void {
    const node = this.#nodes.byId(pending.nodeid)
    if (node === undefined) {
      this.#respond(pending, OUT_HEADER_SIZE, ESTALE)
      return
    }
    const handle = this.#handles.add(node, pending.identity, pending.openFlags)
    this.#handles.opened(handle, body?.readBigUInt64LE(0))
    this.#answer.writeBigUInt64LE(handle.id, OUT.body)
    this.#answer.writeUInt32LE(body?.readUInt32LE(8) ?? FOPEN.KEEP_CACHE, OUT.body + 8)
    this.#answer.writeUInt32LE(0, OUT.body + 12)
    if (this.#respond(pending, OUT.body + OPEN_SIZE, 0)) return
    // Nobody has learnt of it.
    this.#rediscovery.release(handle)
    this.#closed(handle)
  }

  #closed(handle: Handle): void {
    this.#handles.remove(handle)
    this.#nodes.dropUnused(handle.node)
  }

  /** Answers READDIR from a snapshot, which is made first where a reader begins. */
  #list(pending: Pending, node: Node, handle: Handle | undefined, waiter: Waiter): void {
    if (handle === undefined) {
      this.#fail(pending, EBADF)
      return
    }
    const place = pending.bytes.readBigUInt64LE(IN.body + 8)
    const { snapshot } = handle
    // Whoever begins anew sees the directory as it is then.
    if (snapshot === undefined || (place === 0n && snapshot.begun)) {
      this.#rediscovery.list(handle, waiter)
      return
    }
    const size = pending.bytes.readUInt32LE(IN.body + 16)
    const ino = (name: string, daemons: bigint): bigint => this.#nodes.listedIno(node, name, daemons)
    const length = snapshot.write(this.#answer, pending.unique, place, size, ino)
    this.#pending.delete(pending.unique)
    this.#interrupts.delete(pending)
    this.#write(pending, this.#answer, length)
  }

  /** The kernel has forgotten lookups of a node. */
  #forgotten(id: bigint, lookups: bigint): void {
    const node = this.#nodes.byId(id)
    if (node === undefined) return
    node.kernelLookups = lookups > node.kernelLookups ? 0n : node.kernelLookups - lookups
    this.#nodes.dropUnused(node)
  }

  #forget(daemonId: bigint, lookups: bigint): void {
    const request = newRequest(OPCODE.FORGET, daemonId, 8)
    request.writeBigUInt64LE(lookups, IN.body)
    this.#own.announce(request)
  }

  #interrupt(target: bigint): void {
    const pending = this.#pending.get(target)
    if (pending !== undefined && !pending.answered) this.#interrupts.add(pending)
  }

  /** The caller of a request is being killed. */
  #letGo(pending: Pending): void {
    this.#respond(pending, OUT_HEADER_SIZE, EINTR)
    pending.answered = true
    // What the daemon has done for it is still to be undone.
    if (!pending.sent) this.#pending.delete(pending.unique)
  }

  /** The daemon that a request may have been with has ended. */
  #outlive(pending: Pending): void {
    if (pending.answered) {
      this.#pending.delete(pending.unique)
      return
    }
    const { tried, sent } = pending
    if (!tried) return
    pending.tried = false
    pending.sent = false
    this.#resent++
    if (sent) pending.maybeDone = true
    if (sent && (pending.shape.once === true || pending.isExchange)) this.#fail(pending, EIO)
    else if (++pending.crashes >= MOST_CRASHES) {
      this.#hooks.warning(
        `a request of process ${pending.caller} was with ${MOST_CRASHES} daemons in a row that ended; it fails with EIO`,
      )
      this.#fail(pending, EIO)
    }
  }

  #notification(message: Buffer): void {
    const translated = translateNotification(message, this.#nodes)
    if (translated !== undefined) this.#hooks.notify(translated)
  }

  #fail(pending: Pending, errno: number): void {
    if (!this.#pending.delete(pending.unique)) return
    this.#interrupts.delete(pending)
    this.#respond(pending, OUT_HEADER_SIZE, errno)
  }

  /** Writes a daemon's answer, or an error instead of it. Returns whether the kernel took it for an answer that it waits for. */
  #pass(pending: Pending, message: Buffer, error: number): boolean {
    if (error !== 0) return this.#respond(pending, OUT_HEADER_SIZE, error)
    return this.#write(pending, message, message.length)
  }

  /** Writes an answer whose body is in {@link #answer}. */
  #respond(pending: Pending, length: number, errno: number): boolean {
    this.#head(pending.unique, length, errno)
    return this.#write(pending, this.#answer, length)
  }

  #refuse(unique: bigint, errno: number): void {
    this.#head(unique, OUT_HEADER_SIZE, errno)
    this.#device.write(this.#answer, OUT_HEADER_SIZE)
  }

  #head(unique: bigint, length: number, errno: number): void {
    this.#answer.writeUInt32LE(length, OUT.length)
    this.#answer.writeInt32LE(-errno, OUT.error)
    this.#answer.writeBigUInt64LE(unique, OUT.unique)
  }

  /** ENOENT: the caller has been killed. */
  #write({ answered }: Pending, message: Buffer, length: number): boolean {
    return !answered && this.#device.write(message, length) === 0
  }
}

/** A reply as if the daemon had sent it. */
function replyOf(unique: bigint, body: Buffer): Buffer {
  const reply = Buffer.concat([Buffer.alloc(OUT.body), body])
  reply.writeUInt32LE(reply.length, OUT.length)
  reply.writeBigUInt64LE(unique, OUT.unique)
  return reply
}
