import type { LabRecord } from '../matrix/lab-record.ts'
import { type DriverFindings, unnoticedWords } from './findings.ts'
import { type Finding, HARMS } from './harms.ts'
import { type Html, html } from './html.ts'
import { icon } from './icons.ts'
import { cellId } from './ids.ts'
import { facts } from './opening.ts'
import { listed } from './text.ts'

/** The beginning of a page about a driver without a model: three sentences, then what was found, the worst first. */
export function driverOpening(record: LabRecord, found: DriverFindings): Html {
  const baseline = record.catalogue.mitigations[found.baseline]?.title ?? found.baseline
  const unnoticed = unnoticedWords(found, record)
  return html`<header class="top">
      <p class="kicker">${record.tool.name} lab &middot; driver ${record.driver}</p>
      <h1>What happens to programs that use ${record.driver} when something fails</h1>
      ${found.sentences.map((one) => html`<p class="lead">${one}</p>`)} ${facts(record)}
    </header>
    <section aria-labelledby="findings">
      <h2 id="findings" tabindex="-1">Findings, the worst first</h2>
      <p class="measure">The findings are those of the runs with <b>${baseline}</b>. The other mitigations appear as cures.</p>
      ${
        found.findings.length > 0 &&
        html`<ol class="findings">
          ${found.findings.map((one) => html`<li class="card">${finding(one, record)}</li>`)}
        </ol>`
      }
      ${unnoticed !== undefined && html`<p class="measure">${unnoticed}</p>`}
    </section>`
}

function finding({ harm, failures, what, evidence, cure }: Finding, { catalogue }: LabRecord): Html {
  const { title, effect } = HARMS[harm]
  const name = (id: string): string => catalogue.failures[id]?.title ?? id
  return html`<h3>${listed(failures.map(name))}</h3>
    <p><span class="chip ${effect}">${icon(effect)}${title}</span></p>
    <p>${what}</p>
    <ul class="small">
      ${evidence.map(({ cell, text }) => html`<li><a href="#${cellId(cell)}">${name(cell.failure)}</a>: ${text}</li>`)}
    </ul>
    <p><b>Nearest cure:</b> ${cure}</p>`
}
