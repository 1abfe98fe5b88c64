import type { Readable } from 'node:stream'
import { LineCutter } from '../line-cutter.ts'
import type { Clock } from './clock.ts'
import type { LogLine } from './scenario-record.ts'

/** Called with each line as it arrives. */
export type OnLine = (process: string, line: LogLine) => void

/** What one process has said so far, line by line. A pod keeps one log over the restarts of its container. */
export class ProcessLog {
  readonly name: string
  readonly #lines: LogLine[] = []
  readonly #clock: Clock
  readonly #onLine: OnLine
  #shown = 0

  constructor(name: string, clock: Clock, onLine: OnLine) {
    this.name = name
    this.#clock = clock
    this.#onLine = onLine
  }

  get lines(): readonly LogLine[] {
    return this.#lines
  }

  /** Takes in a stream until its end. */
  follow(stream: Readable): void {
    const cutter = new LineCutter()
    stream.on('data', (piece: string | Buffer) => {
      for (const line of cutter.push(piece)) this.#add(line)
    })
    stream.on('end', () => {
      for (const line of cutter.end()) this.#add(line)
    })
  }

  /** The lines that no earlier call has returned. */
  unseen(): readonly string[] {
    const fresh = this.#lines.slice(this.#shown)
    this.#shown = this.#lines.length
    return fresh.map(({ line }) => line)
  }

  /** The last few lines. */
  tail(count: number): readonly string[] {
    return this.#lines.slice(-count).map(({ line }) => line)
  }

  #add(line: string): void {
    const entry = { atMs: this.#clock(), line }
    this.#lines.push(entry)
    this.#onLine(this.name, entry)
  }
}
