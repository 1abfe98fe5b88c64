import type { Clock } from './clock.ts'
import type { ProcessLog } from './process-log.ts'
import type { Step } from './scenario-record.ts'

/** Collects what a scenario shows, as it happens. */
export class Transcript {
  readonly #clock: Clock
  readonly #onStep: (step: Step) => void

  constructor(clock: Clock, onStep: (step: Step) => void) {
    this.#clock = clock
    this.#onStep = onStep
  }

  /** A sentence on what comes next, or on what was just seen and why. */
  say(text: string): void {
    this.#onStep({ kind: 'say', atMs: this.#clock(), text })
  }

  command(where: string, command: string, output: string, status: number): void {
    this.#onStep({ kind: 'command', atMs: this.#clock(), where, command, output, status })
  }

  lines(of: string, lines: readonly string[]): void {
    this.#onStep({ kind: 'log', atMs: this.#clock(), of, lines })
  }

  /** The lines of a log that were not shown yet; of more than `most` only the first, and the last ones after `...`. */
  log(log: ProcessLog, most = Infinity): void {
    const fresh = log.unseen()
    const shown = fresh.length <= most ? fresh : [fresh[0] ?? '', '...', ...fresh.slice(1 - most)]
    this.lines(log.name, shown)
  }
}
