import { closeSync, type FSWatcher, fstatSync, ftruncateSync, openSync, readSync, watch } from 'node:fs'
import { LineCutter } from '../../line-cutter.ts'
import type { Logger } from '../../log.ts'
import { withoutUnprintables } from '../../printable.ts'
import type { SecretTexts } from '../../secrets.ts'

/** Bytes after which what is in the log already is removed from the file. */
const MOST = 256 * 1024

/** Bytes that are read at once, and lines that an error quotes. */
const PORTION = 64 * 1024
const QUOTED = 5

/** Characters of one line in a log or an error. */
const LONGEST_LINE = 500

/** The file that the output of a program goes to, as descriptor of the program: it outlives the plugin, and a pipe without a reader would kill the program. */
export function openOutput(path: string): number {
  return openSync(path, 'a', 0o600)
}

/** Passes the lines that a program writes on to the log, and remembers the last. Secrets are replaced. */
export class ProgramOutput {
  readonly #path: string
  readonly #label: string
  readonly #log: Logger
  readonly #secrets: SecretTexts
  #at: number
  readonly #lines = new LineCutter()
  #last: string[] = []
  #watcher: FSWatcher | undefined

  /** `label`: stands before each line. `from`: the byte that is read first; `end`: what is there already is not read. */
  constructor(path: string, label: string, secrets: SecretTexts, log: Logger, from: 'begin' | 'end') {
    this.#path = path
    this.#label = label
    this.#secrets = secrets
    this.#log = log
    this.#at = 0
    if (from === 'end') this.#skip()
    try {
      this.#watcher = watch(path, { persistent: false }, () => {
        this.read()
      })
      this.#watcher.on('error', () => undefined)
    } catch {
      // Without a watch (ENOSPC of inotify, or the file is gone) lines come when they are read.
    }
    // What was written before the watch.
    this.read()
  }

  /** Its last lines, in one text; undefined if it said nothing. */
  said(): string | undefined {
    this.read()
    const { rest } = this.#lines
    const lines = rest.trim() === '' ? this.#last : [...this.#last, this.#shown(rest)]
    return lines.length === 0 ? undefined : lines.slice(-QUOTED).join('; ')
  }

  /** Logs the lines that have come. */
  read(): void {
    try {
      const fd = openSync(this.#path, 'r+')
      try {
        this.#readFrom(fd)
      } finally {
        closeSync(fd)
      }
    } catch {
      // It was removed with its volume.
    }
  }

  /** Reads no more. */
  close(): void {
    this.#watcher?.close()
    this.#watcher = undefined
  }

  #readFrom(fd: number): void {
    const buffer = Buffer.alloc(PORTION)
    for (;;) {
      const count = readSync(fd, buffer, 0, buffer.length, this.#at)
      if (count === 0) break
      this.#at += count
      this.#take(buffer.subarray(0, count))
    }
    // The program appends, so that it goes on at the new end.
    if (this.#at < MOST) return
    ftruncateSync(fd)
    this.#at = 0
  }

  #take(piece: Buffer): void {
    for (const line of this.#lines.push(piece)) {
      if (line.trim() === '') continue
      const shown = this.#shown(line)
      this.#last = [...this.#last, shown].slice(-QUOTED)
      this.#log.info(`${this.#label}: ${shown}`)
    }
  }

  #shown(line: string): string {
    const text = this.#secrets.stripped(withoutUnprintables(line, () => ' ').trim())
    return text.length <= LONGEST_LINE ? text : `${text.slice(0, LONGEST_LINE)}…`
  }

  #skip(): void {
    try {
      const fd = openSync(this.#path, 'r')
      this.#at = fstatSync(fd).size
      closeSync(fd)
    } catch {
      // There is none.
    }
  }
}
