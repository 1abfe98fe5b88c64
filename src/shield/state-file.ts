import { MemoryFile } from '../os/descriptors/memory-file.ts'
import type { Libc } from '../os/libc.ts'
import { KeptCounts } from './kept-counts.ts'

/** What the file begins with: 7 bytes of text and the number of its format. Another format is not read. */
const FORMAT = Buffer.from('shield\0\x01', 'latin1')

/**
 * The file: its format, the number of the area that counts, the head twice, and two areas. Each has counts and a log, and room for more than any machine has memory.
 */
const AREA_PLACE = 8
const HEADS = [2 ** 23, 2 ** 24]
/** Enough for two commands, of 2 MiB at the most (execve(2)). */
const HEAD_SIZE = 2 ** 23
const AREA_SIZE = 2 ** 40
const LOG = 2 ** 38
const FILE_SIZE = 3 * AREA_SIZE

/**
 * A record: the length of its body, a checksum, the unique of the request that is answered next, and the body. A head has the number of its version instead of the
 * unique.
 */
const HEADER = { length: 0, checksum: 4, unique: 8 } as const
/** Bytes before a record's body, for which a caller leaves room. */
export const HEADER_SIZE = 16

/** Bytes of the log that are read at once: no record is longer. */
const READ_SIZE = 1024 * 1024

/** Slots of counts that are no node's. */
const OWN_SLOTS = 16

/** Takes one record that was read. `unique`: 0 if no request was to be answered next. */
export type RecordTaker = (body: Buffer, unique: bigint) => void

/**
 * A head, a log of records, and counts beside it, in a file in memory. A process that is killed while it writes leaves all earlier records whole, and its last one whole
 * or not at all: a record that is cut off has another checksum.
 */
export class StateFile {
  readonly #file: MemoryFile
  #headVersion = 0n
  #area: number
  #counts: KeptCounts
  #end = 0

  private constructor(file: MemoryFile, area: number) {
    this.#file = file
    this.#area = area
    this.#counts = this.#countsOf(area)
  }

  /** Throws SystemError. */
  static create(libc: Libc): StateFile {
    const file = MemoryFile.create(libc, 'dummy-shield-state', FILE_SIZE)
    file.write(FORMAT, FORMAT.length, 0)
    const made = new StateFile(file, 1)
    made.#select(1)
    return made
  }

  /** One that an earlier process has written. Throws Error if it is of another format. */
  static adopt(libc: Libc, fd: number): StateFile {
    const file = MemoryFile.adopt(libc, fd)
    const head = file.read(16, 0)
    if (head.length < 16 || !head.subarray(0, FORMAT.length).equals(FORMAT) || file.length !== FILE_SIZE)
      throw new Error('it is of another format')
    return new StateFile(file, head.readUInt32LE(AREA_PLACE))
  }

  get fd(): number {
    return this.#file.fd
  }

  /** What {@link writeHead} has written last, whichever process that was; undefined if it was never called. */
  readHead(): Buffer | undefined {
    let newest: Buffer | undefined
    for (const place of HEADS) {
      const bytes = this.#file.read(HEAD_SIZE, place)
      const length = bytes.readUInt32LE(HEADER.length)
      const version = bytes.readBigUInt64LE(HEADER.unique)
      if (version <= this.#headVersion || HEADER_SIZE + length > bytes.length) continue
      const body = bytes.subarray(HEADER_SIZE, HEADER_SIZE + length)
      if (bytes.readUInt32LE(HEADER.checksum) !== checksum(body, 0, length, version)) continue
      this.#headVersion = version
      newest = body
    }
    return newest
  }

  /** Replaces the head. Throws Error if it is too long, and Node's error (ENOSPC, ENOMEM). */
  writeHead(body: Buffer): void {
    if (HEADER_SIZE + body.length > HEAD_SIZE) throw new Error('the command is too long')
    const version = ++this.#headVersion
    this.#write(HEADS[Number(version % 2n)] ?? 0, Buffer.concat([Buffer.alloc(HEADER_SIZE), body]), version)
  }

  /** Slots below 16 are the caller's own. */
  get counts(): KeptCounts {
    return this.#counts
  }

  /** Bytes of the log. */
  get size(): number {
    return this.#end
  }

  /** Puts a record behind the others: room for the header, and the body. Throws Node's error (ENOSPC, ENOMEM). */
  append(record: Buffer, unique: bigint): void {
    this.#write(logOf(this.#area) + this.#end, record, unique)
    this.#end += record.length
  }

  /** Reads all whole records in their order. */
  read(take: RecordTaker): void {
    const place = logOf(this.#area)
    let bytes = this.#file.read(READ_SIZE, place)
    let at = 0
    const has = (length: number): boolean => {
      if (at + length <= bytes.length) return true
      bytes = this.#file.read(READ_SIZE, place + this.#end)
      at = 0
      return length <= bytes.length
    }
    while (has(HEADER_SIZE)) {
      const length = bytes.readUInt32LE(at + HEADER.length)
      if (length === 0 || !has(HEADER_SIZE + length)) return
      const unique = bytes.readBigUInt64LE(at + HEADER.unique)
      const body = bytes.subarray(at + HEADER_SIZE, at + HEADER_SIZE + length)
      if (bytes.readUInt32LE(at + HEADER.checksum) !== checksum(body, 0, length, unique)) return
      at += HEADER_SIZE + length
      this.#end += HEADER_SIZE + length
      take(body, unique)
    }
  }

  /**
   * Replaces all records by others, and the counts. `write` is given what puts a record there, as {@link append} takes it, and the new counts. Meanwhile
   * {@link counts} are the old ones, and a process that is killed leaves the old ones. Throws what `write` throws, SystemError or Node's error; then nothing
   * has changed.
   */
  replace(write: (put: (record: Buffer) => void, counts: KeptCounts) => void): void {
    const other = 3 - this.#area
    const counts = this.#countsOf(other)
    let end = 0
    try {
      this.#file.clear(other * AREA_SIZE, AREA_SIZE)
      write((record) => {
        this.#write(logOf(other) + end, record, 0n)
        end += record.length
      }, counts)
      this.#select(other)
    } catch (error) {
      counts.unmap()
      throw error
    }
    const before = this.#area
    this.#area = other
    this.#end = end
    this.#counts.unmap()
    this.#counts = counts
    this.#file.clear(before * AREA_SIZE, AREA_SIZE)
  }

  #countsOf(area: number): KeptCounts {
    return new KeptCounts(this.#file, area * AREA_SIZE, OWN_SLOTS)
  }

  #write(place: number, record: Buffer, unique: bigint): void {
    record.writeUInt32LE(record.length - HEADER_SIZE, HEADER.length)
    record.writeUInt32LE(checksum(record, HEADER_SIZE, record.length, unique), HEADER.checksum)
    record.writeBigUInt64LE(unique, HEADER.unique)
    this.#file.write(record, record.length, place)
  }

  /** One store of 8 bytes, which is done or not. */
  #select(area: number): void {
    const bytes = Buffer.alloc(8)
    bytes.writeUInt32LE(area)
    this.#file.write(bytes, bytes.length, AREA_PLACE)
  }
}

function logOf(area: number): number {
  return area * AREA_SIZE + LOG
}

/** FNV-1a of 32 bits, of the bytes from `start` to `end`. */
function checksum(bytes: Buffer, start: number, end: number, unique: bigint): number {
  let sum = 0x811c9dc5 ^ Number(unique & 0xffffffffn)
  for (let at = start; at < end; at++) sum = Math.imul(sum ^ (bytes[at] ?? 0), 0x01000193)
  return sum >>> 0
}
