import type { Logger } from '../log.ts'
import { SHARED_LIMITS } from './limits.ts'

/**
 * Limits the lines that another process can cause as often as it likes. In each period the first lines of a kind are logged; at its end, how many were
 * left out, and the last of those.
 */
export class RateLimitedLog {
  readonly #log: Logger
  readonly #kinds = new Map<string, Kind>()

  constructor(log: Logger) {
    this.#log = log
  }

  info(kind: string, message: string): void {
    this.#line(kind, () => this.#log.info(message))
  }

  warning(kind: string, message: string): void {
    this.#line(kind, () => this.#log.warning(message))
  }

  #line(name: string, write: () => void): void {
    let kind = this.#kinds.get(name)
    if (kind === undefined) {
      kind = { lines: 0, left: 0 }
      this.#kinds.set(name, kind)
    }
    if (kind.lines < SHARED_LIMITS.logLines) {
      kind.lines++
      kind.over ??= setTimeout(() => this.#over(kind), SHARED_LIMITS.logPeriod).unref()
      write()
    } else {
      kind.left++
      kind.last = write
    }
  }

  #over(kind: Kind): void {
    const { left, last } = kind
    kind.lines = 0
    kind.left = 0
    delete kind.over
    delete kind.last
    if (left > 1) this.#log.warning(`${left - 1} lines like the following were left out`)
    last?.()
  }
}

/** The lines of one kind in a period: written, and left out. */
interface Kind {
  lines: number
  left: number
  /** Writes the last line that was left out. */
  last?: () => void
  over?: NodeJS.Timeout
}
