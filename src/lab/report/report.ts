import type { LabRecord } from '../matrix/lab-record.ts'
import { adviceFrom } from './advice.ts'
import { bareNodeSection } from './bare-node-section.ts'
import { cellsSection } from './cells-section.ts'
import { closing } from './closing.ts'
import { html } from './html.ts'
import { matrixSection } from './matrix-section.ts'
import { agreement, opening } from './opening.ts'
import { page } from './page.ts'
import { reachSection } from './reach-section.ts'
import { scenariosSection } from './scenarios-section.ts'

/** The report of a run as one HTML file (page.ts). */
export function renderReport(record: LabRecord): string {
  const advice = adviceFrom(record)
  const main = html`${opening(record, advice)} ${matrixSection(record, advice)} ${reachSection(record)} ${agreement(record)}
  ${bareNodeSection(record)} ${cellsSection(record)} ${scenariosSection(record)} ${closing(record)}`
  return page(`${record.driver}: what happens when a FUSE volume fails`, { to: 'matrix', text: 'Skip to the matrix' }, main)
}
