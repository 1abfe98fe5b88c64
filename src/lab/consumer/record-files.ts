import { createHash, randomUUID } from 'node:crypto'
import { closeSync, constants, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf } from '../../errors.ts'
import { monotonicMs } from '../clock.ts'
import { type Acknowledgement, ACKNOWLEDGEMENTS } from './acknowledgements.ts'
import { close } from './close.ts'
import type { ConsumerLine } from './line.ts'
import type { RecordRange } from './record-ranges.ts'

/** Bytes of a record. */
const LENGTH = 64

/** Neither truncates nor appends: a record has its place. */
const WRITES = constants.O_WRONLY | constants.O_CREAT

/** Tells of what was written or found. */
type Tell = (line: ConsumerLine) => void

/** Writes numbered records into files of its own, one for each way in which a record is acknowledged. */
export class RecordWriter {
  readonly #files: readonly RecordFile[]

  /** `folder`: where the files are made. Their names are those of no other writer. */
  constructor(folder: string, tell: Tell) {
    const own = randomUUID().slice(0, 8)
    this.#files = ACKNOWLEDGEMENTS.map((by) => new RecordFile(folder, `records-of-the-lab-${own}-${by}`, by, tell))
  }

  /** Writes the next record of each file. Returns `right`, or the errno's name of the first one that was refused. */
  round(): string {
    const saw = this.#files.map((file) => file.append())
    return saw.find((one) => one !== 'right') ?? 'right'
  }
}

/** A file of records, each at the place of its number. A record that was refused is written again, so that no place is left out. */
class RecordFile {
  readonly #path: string
  readonly #name: string
  readonly #by: Acknowledgement
  readonly #tell: Tell
  #next = 0
  #fd: number | undefined

  constructor(folder: string, name: string, by: Acknowledgement, tell: Tell) {
    this.#path = join(folder, name)
    this.#name = name
    this.#by = by
    this.#tell = tell
  }

  /** Returns `right`, or the errno's name; `SHORT` for a write that took only a part of the record. */
  append(): string {
    const began = monotonicMs()
    try {
      this.#write()
    } catch (error) {
      const code = codeOf(error)
      if (code === undefined) throw error
      this.#drop()
      const at = monotonicMs()
      this.#tell({ refused: code, by: this.#by, at, took: at - began })
      return code
    }
    const at = monotonicMs()
    this.#tell({ acknowledged: this.#next++, file: this.#name, by: this.#by, at, took: at - began })
    return 'right'
  }

  #write(): void {
    this.#fd ??= openSync(this.#path, WRITES)
    const bytes = recordOf(this.#name, this.#next)
    const count = writeSync(this.#fd, bytes, 0, LENGTH, this.#next * LENGTH)
    if (count < LENGTH) throw Object.assign(new Error(`only ${count} bytes were written`), { code: 'SHORT' })
    if (this.#by === 'fsync') fsyncSync(this.#fd)
    if (this.#by !== 'close') return
    const fd = this.#fd
    // close(2) releases the descriptor also where it fails.
    this.#fd = undefined
    closeSync(fd)
  }

  #drop(): void {
    if (this.#fd !== undefined) close(this.#fd)
    this.#fd = undefined
  }
}

/** Reads files of records again, and tells of each what is in it, once and whenever that has changed. */
export class RecordReader {
  readonly #folder: string
  readonly #files: readonly string[]
  readonly #tell: Tell
  readonly #told = new Map<string, string>()

  constructor(folder: string, files: readonly string[], tell: Tell) {
    this.#folder = folder
    this.#files = files
    this.#tell = tell
  }

  look(): void {
    for (const file of this.#files) {
      const line = this.#lineOf(file)
      const text = JSON.stringify(line)
      if (this.#told.get(file) === text) continue
      this.#told.set(file, text)
      this.#tell(line)
    }
  }

  #lineOf(file: string): ConsumerLine {
    const found = this.#recordsOf(file)
    return typeof found === 'string' ? { file, unreadable: found } : { file, found }
  }

  #recordsOf(file: string): Found {
    try {
      return recordsIn(file, readFileSync(join(this.#folder, file)))
    } catch (error) {
      return foundAt(error)
    }
  }
}

/** The records of a file, or the errno's name where it could not be read. */
export type Found = readonly RecordRange[] | string

/** What is found where a file of records cannot be read: none in one that is missing. Throws an error that has no errno's name. */
export function foundAt(error: unknown): Found {
  const code = codeOf(error)
  if (code === undefined) throw error
  return code === 'ENOENT' ? [] : code
}

/** The records of a file that are as they were written, in order. `name`: of the file. */
export function recordsIn(name: string, bytes: Buffer): readonly RecordRange[] {
  const ranges: [number, number][] = []
  for (let number = 0; number * LENGTH < bytes.length; number++) {
    if (!bytes.subarray(number * LENGTH, (number + 1) * LENGTH).equals(recordOf(name, number))) continue
    const last = ranges.at(-1)
    if (last?.[1] === number - 1) last[1] = number
    else ranges.push([number, number])
  }
  return ranges
}

/** Its number, and a checksum of that and the name of its file. */
function recordOf(file: string, number: number): Buffer {
  const sum = createHash('sha256').update(`${file} ${number}`).digest('hex')
  const head = `${String(number).padStart(8, '0')} `
  return Buffer.from(`${head}${sum.slice(0, LENGTH - head.length - 1)}\n`)
}
