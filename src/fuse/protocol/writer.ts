import { ProtocolError } from './errors.ts'

const WORD = 2 ** 32

/**
 * Writes fields one after another into a buffer of `capacity` bytes that every message reuses: the message is
 * `buffer.subarray(0, length)` until the next `reset`. Each method throws ProtocolError `truncated` where the buffer has no room,
 * and has then written nothing.
 */
export class Writer {
  readonly buffer: Buffer
  readonly #view: DataView
  #length = 0

  constructor(capacity: number) {
    this.buffer = Buffer.alloc(capacity)
    this.#view = new DataView(this.buffer.buffer, this.buffer.byteOffset, capacity)
  }

  /** Bytes written since the last reset. */
  get length(): number {
    return this.#length
  }

  reset(): void {
    this.#length = 0
  }

  u16(value: number): void {
    this.#view.setUint16(this.#take(2), value, true)
  }

  u32(value: number): void {
    this.#view.setUint32(this.#take(4), value, true)
  }

  i32(value: number): void {
    this.#view.setInt32(this.#take(4), value, true)
  }

  /** A number must be an integer within 53 bits; below zero it becomes its two's complement. */
  u64(value: bigint | number): void {
    const at = this.#take(8)
    if (typeof value === 'bigint') {
      this.#view.setBigUint64(at, value, true)
    } else {
      this.#view.setUint32(at, value, true)
      this.#view.setUint32(at + 4, Math.floor(value / WORD), true)
    }
  }

  bytes(value: Uint8Array): void {
    this.buffer.set(value, this.#take(value.length))
  }

  /** UTF-8 and a NUL. */
  cstring(value: string): void {
    this.text(value, Buffer.byteLength(value))
    this.zero(1)
  }

  /** UTF-8 that takes `size` bytes. */
  text(value: string, size: number): void {
    this.buffer.write(value, this.#take(size), 'utf8')
  }

  /** A character for each byte. */
  latin1(value: string): void {
    this.buffer.write(value, this.#take(value.length), 'latin1')
  }

  zero(count: number): void {
    const at = this.#take(count)
    this.buffer.fill(0, at, at + count)
  }

  /** Zeros up to a multiple of eight. */
  align8(): void {
    this.zero(-this.#length & 7)
  }

  /** Overwrites what was written `at` bytes from the start. */
  patchU32(at: number, value: number): void {
    if (at + 4 > this.#length) throw new ProtocolError('malformed', `nothing was written yet at byte ${at}`)
    this.#view.setUint32(at, value, true)
  }

  #take(count: number): number {
    const at = this.#length
    const { length } = this.buffer
    if (at + count > length) {
      throw new ProtocolError('truncated', `${count} bytes more do not fit: ${at} of ${length} are written`)
    }
    this.#length = at + count
    return at
  }
}
