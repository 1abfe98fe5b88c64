import { FileSystemError } from '../fuse/filesystem.ts'
import { BLOCK, type Space } from './space.ts'

/** The largest size of a file: its offsets are whole numbers of a double. */
const LARGEST = Number.MAX_SAFE_INTEGER - BLOCK

/** The bytes of a regular file, in blocks. A block that was never written is a hole, and reads as zeros. */
export class Contents {
  readonly #space: Space
  readonly #blocks = new Map<number, Uint8Array>()
  #size = 0

  constructor(space: Space) {
    this.#space = space
  }

  /** Bytes. */
  get size(): number {
    return this.#size
  }

  /** Blocks that take memory. */
  get blocks(): number {
    return this.#blocks.size
  }

  /** At most `size` bytes; fewer only at the end. */
  read(offset: number, size: number): Uint8Array {
    const end = Math.min(offset + size, this.#size)
    if (offset >= end) return new Uint8Array(0)
    const bytes = new Uint8Array(end - offset)
    for (const { block, from, to, at } of parts(offset, end)) {
      const held = this.#blocks.get(block)
      if (held !== undefined) bytes.set(held.subarray(from, to), at)
    }
    return bytes
  }

  /** Writes as much as there is space for; how many bytes. Throws FileSystemError ENOSPC if there is none for the first. */
  write(offset: number, data: Uint8Array): number {
    const end = offset + data.length
    if (end > LARGEST) throw new FileSystemError('EFBIG')
    let written = 0
    for (const { block, from, to, at } of parts(offset, end)) {
      let held: Uint8Array
      try {
        held = this.#held(block)
      } catch (error) {
        if (written === 0) throw error
        break
      }
      held.set(data.subarray(at, at + to - from), from)
      written = at + to - from
    }
    this.#size = Math.max(this.#size, offset + written)
    return written
  }

  /** Cuts the file off, or lengthens it by a hole. Throws FileSystemError EFBIG. */
  truncate(size: number): void {
    if (size > LARGEST) throw new FileSystemError('EFBIG')
    if (size < this.#size) {
      const kept = Math.ceil(size / BLOCK)
      this.#free([...this.#blocks.keys()].filter((block) => block >= kept))
      // What lies behind the end shows if the file grows again.
      this.#blocks.get(kept - 1)?.fill(0, size - (kept - 1) * BLOCK)
    }
    this.#size = size
  }

  /** Gives memory to a range, so that later writes to it cannot fail. Throws FileSystemError ENOSPC, and changes nothing then. */
  allocate(offset: number, length: number, keepSize: boolean): void {
    const end = offset + length
    if (end > LARGEST) throw new FileSystemError('EFBIG')
    const [first, last] = [Math.floor(offset / BLOCK), Math.ceil(end / BLOCK)]
    if (last - first > this.#space.blocks) throw new FileSystemError('ENOSPC')
    const missing: number[] = []
    for (let block = first; block < last; block++) if (!this.#blocks.has(block)) missing.push(block)
    this.#space.takeBlocks(missing.length)
    for (const block of missing) this.#blocks.set(block, new Uint8Array(BLOCK))
    if (!keepSize) this.#size = Math.max(this.#size, end)
  }

  /** Makes a range a hole, as far as it has whole blocks, and zeros. The size stays. */
  punch(offset: number, length: number): void {
    const end = offset + length
    const whole: number[] = []
    for (const block of this.#blocks.keys()) {
      const [from, to] = [Math.max(offset - block * BLOCK, 0), Math.min(end - block * BLOCK, BLOCK)]
      if (from >= to) continue
      if (from === 0 && to === BLOCK) whole.push(block)
      else this.#blocks.get(block)?.fill(0, from, to)
    }
    this.#free(whole)
  }

  /** Makes a range zeros, and keeps its memory. */
  zero(offset: number, length: number): void {
    for (const [block, held] of this.#blocks) {
      const [from, to] = [Math.max(offset - block * BLOCK, 0), Math.min(offset + length - block * BLOCK, BLOCK)]
      if (from < to) held.fill(0, from, to)
    }
  }

  /** Gives all memory back. */
  clear(): void {
    this.#free([...this.#blocks.keys()])
    this.#size = 0
  }

  #held(block: number): Uint8Array {
    const held = this.#blocks.get(block)
    if (held !== undefined) return held
    this.#space.takeBlocks(1)
    const made = new Uint8Array(BLOCK)
    this.#blocks.set(block, made)
    return made
  }

  #free(blocks: readonly number[]): void {
    for (const block of blocks) this.#blocks.delete(block)
    this.#space.giveBlocks(blocks.length)
  }
}

/** The part of a range that lies in one block: bytes `from` to `to` of the block, which are those from `at` on of the range. */
interface Part {
  readonly block: number
  readonly from: number
  readonly to: number
  readonly at: number
}

function* parts(offset: number, end: number): Generator<Part> {
  for (let at = offset; at < end;) {
    const block = Math.floor(at / BLOCK)
    const from = at - block * BLOCK
    const to = Math.min(BLOCK, end - block * BLOCK)
    yield { block, from, to, at: at - offset }
    at += to - from
  }
}
