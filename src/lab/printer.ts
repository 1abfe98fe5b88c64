import { styleText } from 'node:util'
import { oneLine, printable } from '../printable.ts'
import type { Observer } from './lab.ts'
import type { Check, Outcome, ScenarioRecord, Step } from './scenario-record.ts'
import type { Scenario } from './scenario.ts'

type Style = Parameters<typeof styleText>[0]

const WIDTH = 110

/** Prints a run as a transcript to be read, its checks, and a table at the end. */
export class Printer implements Observer {
  readonly #write: (text: string) => void
  readonly #colour: boolean

  constructor(write: (text: string) => void, colour: boolean) {
    this.#write = write
    this.#colour = colour
  }

  begin({ name, summary }: Pick<Scenario, 'name' | 'summary'>): void {
    this.#line(this.#styled('bold', `== ${name} ==`))
    for (const line of wrap(summary, WIDTH)) this.#line(this.#styled('bold', line))
  }

  step(step: Step): void {
    this.#line('')
    switch (step.kind) {
      case 'say':
        for (const line of wrap(step.text, WIDTH)) this.#line(this.#styled('cyan', line))
        break
      case 'command':
        this.#line(`${this.#styled('dim', `[${step.where}]`)} ${this.#styled('bold', `$ ${step.command}`)}`)
        if (step.output !== '') this.#line(printable(step.output))
        if (step.status > 0) this.#line(`command terminated with exit code ${step.status}`)
        if (step.status < 0) this.#line('command did not end, and was killed')
        break
      case 'log':
        this.#line(this.#styled('dim', `[${step.of}]`))
        for (const line of step.lines) this.#line(oneLine(line))
    }
  }

  end(record: ScenarioRecord): void {
    this.#line('')
    for (const check of record.checks) this.#check(check)
    if (record.reason !== undefined) this.#line(this.#styled('red', `✗ broken off: ${record.reason}`))
    this.#line('')
  }

  /** The table of all scenarios. */
  summary(scenarios: readonly ScenarioRecord[]): void {
    const rows = scenarios.map(({ name, checks, durationMs, outcome }) => ({
      outcome,
      cells: [name, `${passed(checks)}/${checks.length}`, `${(durationMs / 1000).toFixed(1)} s`, outcome],
    }))
    const head = ['scenario', 'checks', 'time', 'came out']
    const widths = head.map((cell, column) => Math.max(cell.length, ...rows.map(({ cells }) => cells[column]?.length ?? 0)))
    const layOut = (cells: readonly string[]): string =>
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd()
    this.#line(this.#styled('bold', layOut(head)))
    for (const { cells, outcome } of rows) this.#line(this.#styled(STYLES[outcome], layOut(cells)))
  }

  #check({ name, expected, seen, passed }: Check): void {
    if (passed) {
      this.#line(`${this.#styled('green', '✓')} ${oneLine(name)}: ${expected === '' ? '(nothing)' : printable(expected)}`)
      return
    }
    this.#line(`${this.#styled('red', '✗')} ${oneLine(name)}`)
    this.#line(`    expected: ${indented(expected)}`)
    this.#line(`    seen:     ${indented(seen)}`)
  }

  #line(text: string): void {
    this.#write(`${text}\n`)
  }

  #styled(style: Style, text: string): string {
    const shown = printable(text)
    return this.#colour ? styleText(style, shown, { validateStream: false }) : shown
  }
}

const STYLES: Readonly<Record<Outcome, Style>> = { 'as expected': 'green', 'not as expected': 'red', 'broken off': 'red' }

function passed(checks: readonly Check[]): number {
  return checks.filter(({ passed }) => passed).length
}

function indented(text: string): string {
  return text === '' ? '(nothing)' : printable(text).replaceAll('\n', `\n${' '.repeat(14)}`)
}

/** Breaks a text at its spaces into lines of at most `width` characters; a longer word stands alone. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
