import { glob, open, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { LineCutter } from '../../line-cutter.ts'
import { settledWithin } from '../../os/processes/settled-within.ts'
import type { Timeline } from './timeline.ts'

/** Milliseconds between two looks. A line has the time of the look that found it. */
const LOOK = 100

/** Bytes of one file that are read in one look. */
const PART = 64 * 1024

/** Bytes of a line beyond which it is broken. */
const LONGEST_LINE = 64 * 1024

/** Milliseconds in which the last look is over, unless a file is on a mount that hangs. */
const LAST_LOOK = 2000

/** How far a file has been read. */
interface Place {
  readonly lane: string
  readonly inode: number
  offset: number
  readonly lines: LineCutter
}

/**
 * The log files of a driver, which its file names. What is added to them is put on the timeline: each file has a lane, whose title is its path. What a file
 * holds when the cell begins is left out. A file that is replaced or shortened is read from its beginning.
 */
export class LogFiles implements AsyncDisposable {
  readonly #timeline: Timeline
  readonly #patterns: readonly string[]
  readonly #places = new Map<string, Place>()
  /** By path, the pattern that found it first. */
  readonly #found = new Map<string, string>()
  readonly #stop = new AbortController()
  #watching: readonly Promise<void>[] = []
  #lanes = 0

  /** `patterns`: absolute paths; `*` stands for any part of a name. */
  constructor(timeline: Timeline, patterns: readonly string[]) {
    this.#timeline = timeline
    this.#patterns = patterns
  }

  /** Begins to watch. Resolves when it is known how long each file is already. */
  async begin(): Promise<void> {
    await Promise.all(this.#patterns.map(async (pattern) => await this.#each(pattern, async (path) => await this.#skip(path))))
    this.#watching = this.#patterns.map(async (pattern) => await this.#watch(pattern))
  }

  /** Looks once more, and watches no longer. A file that cannot be read because its mount hangs is left. Never rejects. */
  async end(): Promise<void> {
    this.#stop.abort()
    await settledWithin(Promise.all(this.#watching), LAST_LOOK)
    for (const [path, place] of this.#places) this.#tell(path, place, place.lines.end())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end()
  }

  async #watch(pattern: string): Promise<void> {
    let isLast = false
    while (!isLast) {
      isLast = this.#stop.signal.aborted
      await this.#each(pattern, async (path) => await this.#look(path))
      if (!isLast) await sleep(LOOK, undefined, { signal: this.#stop.signal }).catch(() => undefined)
    }
  }

  /** Calls for each path that this pattern was the first to find. One that is gone meanwhile is left out. */
  async #each(pattern: string, act: (path: string) => Promise<void>): Promise<void> {
    try {
      for await (const path of glob(pattern)) {
        const first = this.#found.get(path) ?? pattern
        this.#found.set(path, first)
        if (first === pattern) await act(path).catch(() => undefined)
      }
    } catch {
      // A folder of the pattern that cannot be read.
    }
  }

  async #skip(path: string): Promise<void> {
    const { ino, size } = await stat(path)
    this.#place(path, ino).offset = size
  }

  async #look(path: string): Promise<void> {
    // Anything else might wait for a writer, or have no end.
    if (!(await stat(path)).isFile()) return
    await using file = await open(path)
    const { ino, size } = await file.stat()
    const place = this.#place(path, ino)
    if (size < place.offset) place.offset = 0
    const buffer = Buffer.alloc(PART)
    while (place.offset < size) {
      const { bytesRead } = await file.read(buffer, 0, PART, place.offset)
      if (bytesRead === 0) return
      place.offset += bytesRead
      const { lines } = place
      this.#tell(path, place, lines.push(buffer.subarray(0, bytesRead)))
      if (lines.rest.length > LONGEST_LINE) this.#tell(path, place, [lines.break()])
    }
  }

  #tell(path: string, { lane }: Place, lines: readonly string[]): void {
    if (lines.length > 0) this.#timeline.lane(lane, 'process', path)
    for (const line of lines) this.#timeline.logNow(lane, line)
  }

  #place(path: string, inode: number): Place {
    const known = this.#places.get(path)
    if (known?.inode === inode) return known
    if (known !== undefined) this.#tell(path, known, known.lines.end())
    const place = { lane: known?.lane ?? `log-${++this.#lanes}`, inode, offset: 0, lines: new LineCutter() }
    this.#places.set(path, place)
    return place
  }
}
