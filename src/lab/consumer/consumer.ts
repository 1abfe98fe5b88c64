import { closeSync, openSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf } from '../../errors.ts'
import { monotonicMs } from '../clock.ts'
import type { ConsumerLine } from './line.ts'
import { isOnFuse } from './on-fuse.ts'
import { PROBE } from './probe.ts'
import { mapLength, type ReadMethod } from './read-methods.ts'
import type { RecordReader, RecordWriter } from './record-files.ts'

/** How a consumer is to read. */
export interface ConsumerOptions {
  readonly file: string
  /** What the file must hold, byte for byte. */
  readonly expected: Buffer
  /** Milliseconds between two reads. */
  readonly interval: number
  /** Whether a read that is not right ends it. */
  readonly exitOnError: boolean
  /** Writes once a read was right, instead of further reads. */
  readonly writer?: RecordWriter
  /** Looks at records before each read. */
  readonly records?: RecordReader
}

/** Reads one file for ever in one way, or writes, and tells of each read or round of writes as it begins and ends. */
export class Consumer {
  readonly #way: ReadMethod
  readonly #options: ConsumerOptions
  readonly #tell: (line: ConsumerLine) => void
  readonly #buffer: Buffer
  #probed = false
  /** Whether what is there was seen to be the volume. */
  #sure = false

  readonly #isOnFuse: (path: string) => boolean

  constructor(way: ReadMethod, options: ConsumerOptions, tell: (line: ConsumerLine) => void, onFuse = isOnFuse) {
    this.#isOnFuse = onFuse
    this.#way = way
    this.#options = options
    this.#tell = tell
    this.#buffer = Buffer.alloc(mapLength(options.expected.length + 1))
  }

  /** Resolves, to 1, only when a read is not right and `exitOnError` is set. */
  async run(): Promise<number> {
    for (;;) {
      this.#tell({ began: monotonicMs() })
      const saw = this.#round()
      this.#tell({ ended: monotonicMs(), saw })
      if (saw === 'ENOENT') this.#probe()
      else if (saw === 'right') this.#probed = false
      if (saw !== 'right' && this.#options.exitOnError) return 1
      await sleep(this.#options.interval)
    }
  }

  #round(): string {
    const { writer, records } = this.#options
    if (writer !== undefined && this.#sure) return writer.round()
    records?.look()
    const saw = this.#read()
    this.#sure ||= saw === 'right'
    return saw
  }

  #read(): string {
    try {
      const count = this.#way.read(this.#buffer)
      return comparison(this.#buffer.subarray(0, count), this.#options.expected)
    } catch (error) {
      const code = codeOf(error)
      if (code === undefined) throw error
      if (code === 'ENOENT' && this.#isOnFuse(this.#options.file)) return 'MISSING'
      return code === 'EFAULT' ? 'SIGBUS' : code
    }
  }

  /** An application that finds no file makes one. Once is enough, until it has read right again. */
  #probe(): void {
    if (this.#probed) return
    this.#probed = true
    const path = join(dirname(this.#options.file), PROBE)
    try {
      const fd = openSync(path, 'a')
      const isVolume = this.#isOnFuse(`/proc/self/fd/${fd}`)
      closeSync(fd)
      if (!isVolume) this.#tell({ wrote: path, at: monotonicMs() })
      else {
        // The volume has come back since the read.
        this.#probed = false
        rmSync(path, { force: true })
      }
    } catch (error) {
      if (codeOf(error) === undefined) throw error
    }
  }
}

/**
 * Some file systems end a read early, without an error, when they lose their storage: sshfs 3.7.3 does. The bytes are those of the volume, so this is not
 * another file in its place.
 */
function comparison(bytes: Buffer, expected: Buffer): string {
  if (bytes.equals(expected)) return 'right'
  return bytes.length < expected.length && expected.subarray(0, bytes.length).equals(bytes) ? 'SHORT' : 'wrong'
}
