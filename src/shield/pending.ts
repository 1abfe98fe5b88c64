import { OPCODE, RESEND_BIT } from '../fuse/protocol/constants.ts'
import { isResent } from '../fuse/protocol/requests.ts'
import { type Caller, IN, type Shape, SHAPES } from './messages.ts'
import type { Node } from './nodes.ts'

/** include/uapi/linux/fs.h */
const RENAME_NOREPLACE = 1
const RENAME_EXCHANGE = 2

/** Where struct fuse_ioctl_in has its command, and the one of isatty(3) (include/uapi/asm-generic/ioctls.h). */
const IOCTL_COMMAND = IN.body + 12
const TCGETS = 0x5401

/** A name that a request has taken from an open file, which was hidden. */
export interface Taken {
  readonly file: Node
  readonly directory: Node
  readonly name: string
}

/** A request of the kernel that has no answer yet. */
export class Pending {
  /** A copy, in which nodes and handles become the daemon's when it is sent. */
  readonly bytes: Buffer
  readonly unique: bigint
  readonly opcode: number
  readonly shape: Shape
  /** The kernel sends it again: another process of ours had it. */
  readonly again: boolean
  /** The kernel's, that is ours. */
  readonly nodeid: bigint
  /** The second node that it names, if it names one. */
  readonly otherNodeid: bigint | undefined
  /** The open file that it names; undefined for one that names none. */
  readonly fh: bigint | undefined
  /** The daemon that serves has been given it, or something for its sake. */
  tried = false
  /** The daemon that serves was asked something for its sake, and has not answered that. */
  waiting = false
  /** The daemon has been given the request itself. */
  sent = false
  /** A daemon that has ended had been given it, and may have done it. */
  maybeDone = false
  /** Daemons in a row that ended while they had it. */
  crashes = 0
  /** It is not given to the daemon until its turn comes. */
  held = false
  /** The kernel has its answer; the daemon's is still to come. */
  answered = false
  /** It is done with. */
  over = false
  /** What waits until it is done with. Dropped if the daemon ends first. */
  followers: readonly (() => void)[] | undefined
  /** The file that it opens. */
  opening: Node | undefined
  /** The open file that was hidden because this takes its name. */
  hid: Taken | undefined
  /** The open file whose name it takes cannot be hidden. */
  hidesNothing = false

  private constructor(bytes: Buffer, opcode: number, shape: Shape) {
    this.bytes = Buffer.from(bytes)
    this.opcode = opcode
    this.shape = shape
    this.unique = this.bytes.readBigUInt64LE(IN.unique)
    this.again = isResent(this.unique)
    this.nodeid = this.bytes.readBigUInt64LE(IN.nodeid)
    const { otherNode, fh: at } = shape
    this.otherNodeid = otherNode === undefined ? undefined : this.bytes.readBigUInt64LE(IN.body + otherNode)
    const fh = at === undefined || this.bytes.length < IN.body + at + 8 ? 0n : this.bytes.readBigUInt64LE(IN.body + at)
    this.fh = fh === 0n ? undefined : fh
  }

  /** Copies a request; undefined for one that is not passed on. */
  static of(bytes: Buffer): Pending | undefined {
    const opcode = bytes.readUInt32LE(IN.opcode)
    const shape = SHAPES.get(opcode)
    return shape === undefined ? undefined : new Pending(bytes, opcode, shape)
  }

  /** Its number when the kernel sent it first. */
  get firstUnique(): bigint {
    return this.again ? this.unique & ~RESEND_BIT : this.unique
  }

  /** The daemon's node that it was sent for. */
  get sentTo(): bigint {
    return this.bytes.readBigUInt64LE(IN.nodeid)
  }

  /** The thread that waits; 0: it is in another PID namespace. */
  get caller(): number {
    return this.bytes.readUInt32LE(IN.pid)
  }

  get identity(): Caller {
    return { uid: this.bytes.readUInt32LE(IN.uid), gid: this.bytes.readUInt32LE(IN.gid), pid: this.caller }
  }

  /** The name in its body (latin1), and the second one of RENAME. */
  get names(): readonly [name: string, newName: string] {
    const at = this.shape.name
    if (at === undefined) return ['', '']
    const [name, end] = this.#text(IN.body + at)
    return [name, this.shape.check === 'moved' ? this.#text(end + 1)[0] : '']
  }

  /** What a NUL ends, and where that is. No part of a longer text, which would be kept as long as the name. */
  #text(start: number): readonly [text: string, end: number] {
    const found = this.bytes.indexOf(0, start)
    const end = found < 0 ? this.bytes.length : found
    return [this.bytes.toString('latin1', start, end), end]
  }

  /** The flags of open(2), of OPEN, OPENDIR and CREATE. */
  get openFlags(): number {
    return this.bytes.readUInt32LE(IN.body)
  }

  /** Whether two names change places (renameat2(2)): done twice, it is undone. */
  get isExchange(): boolean {
    return (this.#renameFlags & RENAME_EXCHANGE) !== 0
  }

  /** Whether it is not given to another daemon: it must not be done twice, and nobody can tell whether it was done. */
  get once(): boolean {
    return this.isExchange || (this.shape.once === true && !this.#asksForTerminal)
  }

  /** Whether it is isatty(3), by which many programs look at each file that they open: an ioctl(2) that changes nothing. */
  get #asksForTerminal(): boolean {
    return (
      this.opcode === OPCODE.IOCTL && this.bytes.length >= IOCTL_COMMAND + 4 && this.bytes.readUInt32LE(IOCTL_COMMAND) === TCGETS
    )
  }

  /** Whether it gives a file a name that another file may have, which loses it. */
  get replaces(): boolean {
    return this.shape.check === 'moved' && (this.#renameFlags & (RENAME_EXCHANGE | RENAME_NOREPLACE)) === 0
  }

  /** Whether it takes names away or moves them. */
  get takesNames(): boolean {
    return this.shape.check === 'gone' || this.shape.check === 'moved'
  }

  get #renameFlags(): number {
    return this.opcode === OPCODE.RENAME2 ? this.bytes.readUInt32LE(IN.body + 8) : 0
  }
}
