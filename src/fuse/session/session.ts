import { constants } from 'node:os'
import { messageOf } from '../../errors.ts'
import type { FileSystem } from '../filesystem.ts'
import { FileSystemError } from '../filesystem.ts'
import { ProtocolError } from '../protocol/errors.ts'
import { UnsupportedKernelError } from '../protocol/negotiation.ts'
import { encodeResend } from '../protocol/notifications.ts'
import { encodeEmpty, encodeError, encodeInit, type InitReply } from '../protocol/replies.ts'
import { decodeRequest, type InitRequest, type Request, wantsReply } from '../protocol/requests.ts'
import type { Writer } from '../protocol/writer.ts'
import type { Device } from './device.ts'
import { agree, initReply } from './handshake.ts'
import type { SessionSettings } from './mount-options.ts'
import type { Negotiated } from './negotiated.ts'
import { Operations } from './operations.ts'
import { replyLine, requestLine } from './trace.ts'

const { EAGAIN, ECONNABORTED, EINTR, EIO, ENODEV, ENOENT, ENOSYS, EPROTO } = constants.errno

/** The offsets of a request's opcode (struct fuse_in_header) and of a reply's unique (struct fuse_out_header), include/uapi/linux/fuse.h. */
const OPCODE_AT = 4
const UNIQUE_AT = 8

/** How often a write that a signal interrupts is repeated. */
const MOST_TRIES = 16

/**
 * Why a session has ended. `disconnected`: it was unmounted or aborted, which the kernel does not distinguish. `refused`: it cannot serve this
 * kernel.
 */
export type SessionOutcome = { readonly kind: 'disconnected' } | { readonly kind: 'refused'; readonly message: string }

/** What a session reports to its runner. */
export interface SessionHooks {
  /** INIT has come and is about to be answered: at once, or when {@link FuseSession.answerInit} is called. */
  initialising(negotiated: Negotiated): 'answer' | 'hold'
  /** INIT has been answered with these values. */
  initialised(reply: InitReply): void
  /** There are no more requests. The device is still open. */
  ended(outcome: SessionOutcome): void
  /** A problem with a single request. */
  warning(message: string): void
  /** A line for `-d`. */
  trace(line: string): void
}

/**
 * What the sessions of one thread share: a buffer for one request and one for one reply, and the number of requests that file systems have not
 * answered.
 */
export interface Shared {
  readonly request: Buffer
  readonly reply: Writer
  awaited: number
}

/** One FUSE connection: reads requests, has the file system answer them, writes replies. Never waits. */
export class FuseSession {
  readonly #device: Device
  readonly #settings: SessionSettings
  readonly #operations: Operations
  readonly #shared: Shared
  readonly #hooks: SessionHooks
  readonly #counts: Map<string, number>
  /** Requests that the file system has not answered, by their unique; true once the request was interrupted. */
  readonly #pending = new Map<bigint, boolean>()
  #init: { readonly unique: bigint; readonly request: InitRequest; readonly negotiated: Negotiated } | undefined
  #initialised = false
  #over = false

  /** `counts`: requests that were read before. */
  constructor(
    device: Device,
    filesystem: FileSystem,
    settings: SessionSettings,
    shared: Shared,
    hooks: SessionHooks,
    counts: Readonly<Record<string, number>> = {},
  ) {
    this.#device = device
    this.#settings = settings
    this.#operations = new Operations(filesystem, settings)
    this.#shared = shared
    this.#hooks = hooks
    this.#counts = new Map(Object.entries(counts))
  }

  /** The number of requests that the file system has not answered. */
  get pending(): number {
    return this.#pending.size
  }

  /** Whether INIT has been read and its answer is held back. */
  get holdsInit(): boolean {
    return this.#init !== undefined
  }

  /** Requests that were read, by their opcode's name. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts
  }

  /** Asks the kernel to send again all requests that were read, by this or an earlier process, and not answered (Linux 6.9). */
  resend(): void {
    encodeResend(this.#shared.reply)
    const written = this.#device.write(this.#shared.reply.buffer, this.#shared.reply.length)
    // If the connection is gone, the first read reports it.
    if (written < 0 && -written !== ENODEV && -written !== ENOENT)
      this.#hooks.warning(`cannot ask for lost requests again: errno ${-written}`)
  }

  /** Serves up to `most` requests that are there; how many there were. */
  serve(most: number): number {
    let served = 0
    while (served < most && !this.#over) {
      const length = this.#device.read(this.#shared.request)
      if (length === -EAGAIN) break
      if (length === -ENODEV || length === -ECONNABORTED) {
        this.#end({ kind: 'disconnected' })
        break
      }
      served++
      // ENOENT: the request was withdrawn while it was being read. EINTR: try again.
      if (length === -ENOENT || length === -EINTR) continue
      if (length < 0) this.#end({ kind: 'refused', message: `reading the device gives errno ${-length}` })
      else this.#take(this.#shared.request.subarray(0, length))
    }
    return served
  }

  /** Nothing is written any more: the device is about to be closed. */
  abandon(): void {
    this.#over = true
  }

  /** Answers the INIT that {@link SessionHooks.initialising} held back; a refusal makes mount(2) fail, and is the session's end. */
  answerInit(refusal?: string): void {
    if (this.#init === undefined || this.#over) return
    const { unique, request, negotiated } = this.#init
    this.#init = undefined
    if (refusal !== undefined) {
      this.#refuse(unique, EIO)
      this.#end({ kind: 'refused', message: refusal })
      return
    }
    const reply = initReply(request, negotiated, this.#settings)
    encodeInit(this.#shared.reply, unique, reply)
    const errno = this.#send()
    if (errno === 0) {
      this.#initialised = true
      this.#hooks.initialised(reply)
    } else if (errno !== ENODEV && errno !== ECONNABORTED) {
      // A mount whose INIT is not answered hangs.
      this.#refuse(unique, EIO)
      this.#end({ kind: 'refused', message: `the kernel refuses the answer to INIT: errno ${errno}` })
    }
  }

  #take(bytes: Buffer): void {
    let request: Request
    try {
      request = decodeRequest(bytes)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#hooks.warning(`a request that cannot be read: ${error.message}`)
      if (error.unique !== undefined && wantsReply(bytes.readUInt32LE(OPCODE_AT)))
        this.#refuse(error.unique, error.kind === 'unknown-opcode' ? ENOSYS : EIO)
      return
    }
    this.#counts.set(request.op, (this.#counts.get(request.op) ?? 0) + 1)
    if (this.#settings.debug) this.#hooks.trace(requestLine(request))
    switch (request.op) {
      case 'INIT':
        this.#initialise(request)
        return
      case 'DESTROY':
        this.#empty(request.header.unique)
        return
      case 'INTERRUPT':
        this.#interrupt(request.target)
        return
      case 'FORGET':
      case 'BATCH_FORGET':
        this.#operations.forget(request)
        return
      // It answers NOTIFY_RETRIEVE, which this program never sends.
      case 'NOTIFY_REPLY':
        return
      default:
        this.#answer(request)
    }
  }

  #initialise(request: InitRequest): void {
    const { unique } = request.header
    // The values of the first INIT stay.
    if (this.#initialised || this.#init !== undefined) {
      this.#hooks.warning('a second INIT on one connection is refused')
      this.#refuse(unique, EIO)
      return
    }
    let negotiated: ReturnType<typeof agree>
    try {
      negotiated = agree(request, this.#settings)
    } catch (error) {
      if (!(error instanceof UnsupportedKernelError)) throw error
      this.#refuse(unique, EPROTO)
      this.#end({ kind: 'refused', message: error.message })
      return
    }
    if (negotiated.initAgain) {
      encodeInit(this.#shared.reply, unique, initReply(request, negotiated, this.#settings))
      this.#write()
      return
    }
    this.#init = { unique, request, negotiated }
    if (this.#hooks.initialising(negotiated) === 'answer') this.answerInit()
  }

  #answer(request: Request): void {
    const { unique } = request.header
    try {
      const later = this.#operations.answer(request, this.#shared.reply)
      if (later === undefined) {
        if (!this.#write()) this.#operations.unanswered()
      } else this.#await(unique, later)
    } catch (error) {
      this.#fail(unique, error)
    }
  }

  /** An interrupted request was answered EINTR already. */
  #await(unique: bigint, later: Promise<(reply: Writer) => void>): void {
    this.#pending.set(unique, false)
    this.#shared.awaited++
    const settle = (answer: () => void): void => {
      this.#shared.awaited--
      const interrupted = this.#pending.get(unique) ?? true
      this.#pending.delete(unique)
      if (!interrupted && !this.#over) answer()
    }
    later.then(
      (encode) => {
        settle(() => {
          this.#encode(unique, encode)
        })
      },
      (error: unknown) => {
        settle(() => {
          this.#fail(unique, error)
        })
      },
    )
  }

  #encode(unique: bigint, encode: (reply: Writer) => void): void {
    try {
      encode(this.#shared.reply)
      this.#write()
    } catch (error) {
      this.#fail(unique, error)
    }
  }

  /** A request that is not pending was answered before its INTERRUPT came. */
  #interrupt(target: bigint): void {
    if (this.#pending.get(target) !== false) return
    this.#pending.set(target, true)
    this.#refuse(target, EINTR)
  }

  #fail(unique: bigint, error: unknown): void {
    if (!(error instanceof FileSystemError)) this.#hooks.warning(`the file system failed: ${messageOf(error)}`)
    this.#refuse(unique, error instanceof FileSystemError ? error.errno : EIO)
  }

  #refuse(unique: bigint, errno: number): void {
    encodeError(this.#shared.reply, unique, errno)
    this.#write()
  }

  #empty(unique: bigint): void {
    encodeEmpty(this.#shared.reply, unique)
    this.#write()
  }

  /** Writes the reply; whether the kernel has taken it. If it refuses it, the request is answered EIO, because it would wait for ever otherwise. */
  #write(): boolean {
    const { buffer, length } = this.#shared.reply
    const errno = this.#send()
    // ENOENT: the request was interrupted. ENODEV: the next read reports it too.
    if (errno === 0) return true
    if ([ENOENT, ENODEV, ECONNABORTED].includes(errno)) return false
    this.#hooks.warning(`the kernel refuses an answer of ${length} bytes: errno ${errno}`)
    encodeError(this.#shared.reply, buffer.readBigUInt64LE(UNIQUE_AT), EIO)
    this.#send()
    return false
  }

  /** Writes the reply, again where a signal interrupts; 0 or the errno. */
  #send(): number {
    const { buffer, length } = this.#shared.reply
    if (this.#settings.debug) this.#hooks.trace(replyLine(this.#shared.reply))
    for (let tries = 0; ; tries++) {
      const errno = -this.#device.write(buffer, length)
      if (errno !== EINTR || tries === MOST_TRIES) return errno
    }
  }

  #end(outcome: SessionOutcome): void {
    this.#over = true
    this.#hooks.ended(outcome)
  }
}
