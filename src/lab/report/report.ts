import type { LabRecord } from '../matrix/lab-record.ts'
import { adviceFrom } from './advice.ts'
import { bareNodeSection } from './bare-node-section.ts'
import { cellsSection } from './cells-section.ts'
import { closing } from './closing.ts'
import { driverFindings } from './findings.ts'
import { driverOpening } from './findings-section.ts'
import { html } from './html.ts'
import { matrixSection } from './matrix-section.ts'
import { agreement, opening } from './opening.ts'
import { page } from './page.ts'
import { reachSection } from './reach-section.ts'
import { scenariosSection } from './scenarios-section.ts'
import { writtenSection } from './written.ts'

/** The report of a run as one HTML file (page.ts). */
export function renderReport(record: LabRecord): string {
  const found = driverFindings(record)
  const advice = adviceFrom(record)
  const start = found === undefined ? opening(record, advice) : driverOpening(record, found)
  const main = html`${start} ${matrixSection(record, advice, found)} ${writtenSection(record)} ${reachSection(record)}
  ${agreement(record)} ${bareNodeSection(record)} ${cellsSection(record)} ${scenariosSection(record)} ${closing(record)}`
  const skip = found === undefined ? { to: 'matrix', text: 'Skip to the matrix' } : { to: 'findings', text: 'Skip to the findings' }
  return page(`${record.driver}: what happens when a FUSE volume fails`, skip, main)
}
