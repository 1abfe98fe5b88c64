import { ProtocolError } from './errors.ts'

/**
 * Reads fields one after another from `bytes`, little-endian as the kernel is wherever this runs. Past the end each method throws
 * ProtocolError `truncated`, which carries `unique`.
 */
export class Reader {
  /** The request's, once its header is read. */
  unique: bigint | undefined = undefined
  readonly #bytes: Buffer
  readonly #view: DataView
  #at: number
  #end: number

  constructor(bytes: Buffer, start = 0, end: number = bytes.length) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#at = start
    this.#end = end
  }

  /** Bytes that are left. */
  get remaining(): number {
    return this.#end - this.#at
  }

  /** Leaves the last `count` bytes out. */
  shorten(count: number): void {
    if (count > this.remaining) throw this.#truncated(count)
    this.#end -= count
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true)
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true)
  }

  skip(count: number): void {
    this.#take(count)
  }

  /** The next `count` bytes: a view, good until the buffer they lie in is read into again. */
  bytes(count: number): Buffer {
    const at = this.#take(count)
    return this.#bytes.subarray(at, at + count)
  }

  /** How many bytes come before the next NUL. Throws ProtocolError `malformed` if there is none. */
  untilNul(): number {
    const bytes = this.#bytes
    const end = this.#end
    const start = this.#at
    for (let at = start; at < end; at++) if (bytes[at] === 0) return at - start
    throw new ProtocolError('malformed', `a name has no NUL at its end, in the ${this.remaining} bytes left`, this.unique)
  }

  /** UTF-8 up to the next NUL, which is skipped. Throws ProtocolError `malformed` if there is none. */
  cstring(): string {
    const start = this.#at
    const end = start + this.untilNul()
    this.#at = end + 1
    return this.#bytes.toString('utf8', start, end)
  }

  #take(count: number): number {
    const at = this.#at
    if (count > this.#end - at) throw this.#truncated(count)
    this.#at = at + count
    return at
  }

  #truncated(wanted: number): ProtocolError {
    return new ProtocolError('truncated', `${wanted} bytes are wanted where ${this.remaining} are left`, this.unique)
  }
}
