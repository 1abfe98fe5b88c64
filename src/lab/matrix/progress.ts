import { styleText } from 'node:util'
import { oneLine } from '../../printable.ts'
import type { PlannedCell } from './plan.ts'
import type { Cell, Verdict } from './lab-record.ts'
import type { CellObserver } from './run-cells.ts'

type Style = Parameters<typeof styleText>[0]

/** How each verdict looks. */
const LOOKS: Readonly<Record<Verdict, { symbol: string; words: string; style: Style }>> = {
  'as-modelled': { symbol: '✓', words: 'as modelled', style: 'green' },
  better: { symbol: '▲', words: 'better than the model', style: 'yellow' },
  worse: { symbol: '✗', words: 'worse than the model', style: 'red' },
  different: { symbol: '≠', words: 'not as modelled', style: 'red' },
  measured: { symbol: '·', words: 'measured', style: 'cyan' },
  'not-run': { symbol: '?', words: 'not run', style: 'yellow' },
}

/** A line for each cell that is through; on a terminal also one at the bottom that says what runs and how long it may take. */
export class Progress implements CellObserver {
  readonly #write: (text: string) => void
  readonly #terminal: boolean
  readonly #colour: boolean
  readonly #total: number
  readonly #running = new Set<string>()
  readonly #start = performance.now()
  #done = 0

  constructor(write: (text: string) => void, terminal: boolean, colour: boolean, total: number) {
    this.#write = write
    this.#terminal = terminal
    this.#colour = colour
    this.#total = total
  }

  begin({ failure, mitigation }: PlannedCell): void {
    this.#running.add(name(failure.id, mitigation.id))
    this.#status()
  }

  end(cell: Cell): void {
    this.#done++
    this.#running.delete(name(cell.failure, cell.mitigation))
    const { symbol, words, style } = LOOKS[cell.verdict]
    const counted = `[${String(this.#done).padStart(String(this.#total).length)}/${this.#total}]`
    const told = this.#styled(style, oneLine(`${symbol} ${name(cell.failure, cell.mitigation)}: ${words}`))
    this.#clear()
    this.#write(`${counted} ${told} (${(cell.tookMs / 1000).toFixed(1)} s)\n`)
    if (cell.why !== undefined) this.#write(`${' '.repeat(counted.length + 3)}${oneLine(cell.why.replaceAll('\n', ' '))}\n`)
    this.#status()
  }

  #status(): void {
    if (!this.#terminal) return
    this.#clear()
    if (this.#done === this.#total) return
    const left = this.#done === 0 ? '' : `, about ${this.#left()} left`
    this.#write(`${this.#done} of ${this.#total} cells${left}: ${oneLine([...this.#running].join(', '))}`.slice(0, 110))
  }

  #left(): string {
    const seconds = Math.round(((performance.now() - this.#start) / 1000 / this.#done) * (this.#total - this.#done))
    return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`
  }

  /** Returns to the line's beginning and erases it (ECMA-48, EL). */
  #clear(): void {
    if (this.#terminal) this.#write('\r\u001b[K')
  }

  #styled(style: Style, text: string): string {
    return this.#colour ? styleText(style, text, { validateStream: false }) : text
  }
}

function name(failure: string, mitigation: string): string {
  return `${failure} under ${mitigation}`
}
