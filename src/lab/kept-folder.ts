import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeDirectories } from '../os/mounts/directories.ts'
import type { Cell } from './matrix/lab-record.ts'
import { Printer } from './printer.ts'
import type { ScenarioRecord } from './scenario-record.ts'

/** A folder for people to look into afterwards: for each scenario its transcript, and each process's log; and each cell. */
export class KeptFolder {
  readonly path: string

  /** Makes it, below `parent`. */
  constructor(parent: string) {
    this.path = mkdtempSync(join(parent, 'dummy-fuse-lab-'))
  }

  /** Writes a cell as it stands in the record. */
  addCell(cell: Cell): void {
    const folder = join(this.path, 'cells')
    makeDirectories(folder)
    writeFileSync(join(folder, `${cell.failure}--${cell.mitigation}.json`), `${JSON.stringify(cell, undefined, 2)}\n`)
  }

  /** Writes what there is of a scenario, broken off or not. */
  add(record: ScenarioRecord): void {
    const folder = join(this.path, record.name)
    mkdirSync(folder)
    let text = ''
    const printer = new Printer((more) => (text += more), false)
    printer.begin(record)
    for (const step of record.transcript) printer.step(step)
    printer.end(record)
    writeFileSync(join(folder, 'transcript.txt'), text)
    for (const [name, lines] of Object.entries(record.logs)) {
      writeFileSync(join(folder, `${name}.log`), lines.map(({ line }) => `${line}\n`).join(''))
    }
  }
}
