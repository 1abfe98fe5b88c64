import { constants } from 'node:os'
import { OUT_HEADER_SIZE } from '../fuse/protocol/constants.ts'
import type { Device } from '../fuse/session/device.ts'
import { MESSAGE_SIZE, OUT } from './messages.ts'
import type { Pending } from './pending.ts'

/** What answers are noted in. */
interface ReplyNotes {
  /** Keeps what was noted for a successor, which the kernel goes by once it has the answer. `unique`: the request that is answered with success; 0 for none. */
  commit(unique: bigint): void
  /** A request has failed with ESTALE. */
  add(name: 'stale'): void
}

/** Writes the answers to the kernel's requests. Each method that answers one returns whether the kernel took it for an answer that it waits for. */
export class KernelReplies {
  /** For an answer that is made here: its body is put behind {@link OUT.body}. */
  readonly buffer = Buffer.alloc(MESSAGE_SIZE)
  readonly #device: Device
  readonly #notes: ReplyNotes

  constructor(device: Device, notes: ReplyNotes) {
    this.#device = device
    this.#notes = notes
  }

  /** Writes a daemon's answer, or an error (a positive errno) instead of it. */
  pass(pending: Pending, message: Buffer, error: number): boolean {
    if (error !== 0) return this.fail(pending, error)
    return this.write(pending, message, message.length)
  }

  /** Writes an answer without a body: an error (a positive errno), or 0. */
  fail(pending: Pending, errno: number): boolean {
    return this.respond(pending, OUT_HEADER_SIZE, errno)
  }

  /** Writes an answer of `length` bytes whose body is in {@link buffer}. */
  respond(pending: Pending, length: number, errno: number): boolean {
    this.#head(pending.unique, length, errno)
    const taken = this.write(pending, this.buffer, length)
    if (taken && errno === constants.errno.ESTALE) this.#notes.add('stale')
    return taken
  }

  /** Writes a whole answer. False: the caller has been killed (ENOENT). */
  write({ answered, firstUnique }: Pending, message: Buffer, length: number): boolean {
    if (answered) return false
    // A refusal is made again if the kernel has not got it.
    this.#notes.commit(message.readInt32LE(OUT.error) === 0 ? firstUnique : 0n)
    return this.#device.write(message, length) === 0
  }

  /** Writes an error for a request that nothing else is known of. */
  refuse(unique: bigint, errno: number): void {
    this.#head(unique, OUT_HEADER_SIZE, errno)
    this.#device.write(this.buffer, OUT_HEADER_SIZE)
  }

  #head(unique: bigint, length: number, errno: number): void {
    this.buffer.writeUInt32LE(length, OUT.length)
    this.buffer.writeInt32LE(-errno, OUT.error)
    this.buffer.writeBigUInt64LE(unique, OUT.unique)
  }
}
