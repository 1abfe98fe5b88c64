import { createHash } from 'node:crypto'
import type { LabRecord } from '../matrix/lab-record.ts'
import { adviceFrom } from './advice.ts'
import { bareNodeSection } from './bare-node-section.ts'
import { cellsSection } from './cells-section.ts'
import { closing } from './closing.ts'
import { Html, html } from './html.ts'
import { SPRITE } from './icons.ts'
import { matrixSection } from './matrix-section.ts'
import { agreement, opening } from './opening.ts'
import { reachSection } from './reach-section.ts'
import { scenariosSection } from './scenarios-section.ts'
import { SCRIPT } from './script.ts'
import { BASE } from './styles/base.ts'
import { DETAILS } from './styles/details.ts'
import { MATRIX } from './styles/matrix.ts'
import { PRINT } from './styles/print.ts'

const STYLES = [BASE, MATRIX, DETAILS, PRINT].join('')

/**
 * The report of a run as one HTML file that needs nothing but a browser: no network, no other file, and no script to be read.
 * Whatever the record's texts hold, they stay text, and the page's own policy lets no script run but the one it was written with.
 */
export function renderReport(record: LabRecord): string {
  const advice = adviceFrom(record)
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="Content-Security-Policy" content="${policy()}" />
        <meta name="color-scheme" content="light dark" />
        <title>${record.driver}: what happens when a FUSE volume fails</title>
        ${inline('style', STYLES)}
      </head>
      <body>
        <a class="skip" href="#matrix">Skip to the matrix</a>
        ${SPRITE}
        <div class="frame">
          <main>
            ${opening(record, advice)} ${matrixSection(record, advice)} ${reachSection(record)} ${agreement(record)}
            ${bareNodeSection(record)} ${cellsSection(record)} ${scenariosSection(record)} ${closing(record)}
          </main>
        </div>
        ${inline('script', SCRIPT)}
      </body>
    </html> `
  return page.text
}

/** The element with exactly this text in it: the policy has its hash. */
function inline(element: 'style' | 'script', text: string): Html {
  return new Html(`<${element}>${text}</${element}>`)
}

function policy(): string {
  return `default-src 'none'; style-src ${hashOf(STYLES)}; script-src ${hashOf(SCRIPT)}; base-uri 'none'; form-action 'none'`
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
}
