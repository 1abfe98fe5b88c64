import type { ScenarioRecord } from '../scenario-record.ts'
import type { Absent, Cell, LabRecord } from './lab-record.ts'

/** What a run brings to its record; `complete`: whether everything that was chosen has at least begun. */
export interface Run extends Omit<LabRecord, 'version' | 'passed' | 'complete'> {
  readonly complete: boolean
  readonly cells: readonly Cell[]
  readonly absent: readonly Absent[]
  readonly scenarios: readonly ScenarioRecord[]
}

/** Puts the record of a run together. */
export function composeRecord({ complete, ...run }: Run): LabRecord {
  const passed =
    complete &&
    run.scenarios.every(({ outcome }) => outcome === 'as expected') &&
    run.cells.every(({ verdict }) => verdict === 'as-modelled' || verdict === 'measured')
  return { version: 6, ...run, passed, ...(complete ? {} : { complete }) }
}
