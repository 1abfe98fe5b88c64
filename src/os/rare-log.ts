import type { Logger } from '../log.ts'

/** In milliseconds. */
const PERIOD = 10_000
const LINES = 10

/** Warnings that another process can cause as often as it likes: so many of a kind within a period, then how many were left out. */
export class RareLog {
  readonly #log: Logger
  readonly #kinds = new Map<string, { since: number; lines: number }>()

  constructor(log: Logger) {
    this.#log = log
  }

  warning(kind: string, message: string): void {
    const now = performance.now()
    let seen = this.#kinds.get(kind)
    if (seen === undefined || now - seen.since > PERIOD) {
      const left = Math.max(0, (seen?.lines ?? 0) - LINES)
      if (left > 0) this.#log.warning(`${left} lines like the following were left out`)
      seen = { since: now, lines: 0 }
      this.#kinds.set(kind, seen)
    }
    if (++seen.lines <= LINES) this.#log.warning(message)
  }
}
