import type { Readable } from 'node:stream'
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
    let rest = ''
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) this.#add(line)
    })
    stream.on('end', () => {
      if (rest !== '') this.#add(rest)
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
