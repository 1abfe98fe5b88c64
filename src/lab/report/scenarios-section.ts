import type { LabRecord } from '../matrix/lab-record.ts'
import type { ScenarioRecord, Step } from '../scenario-record.ts'
import { type Html, html } from './html.ts'
import { icon } from './icons.ts'
import { count, cut, duration, moment } from './text.ts'

/** Longest output that is shown of one command, in characters. */
const MOST_OUTPUT = 6000

const SIGN = { 'as expected': 'kept', 'not as expected': 'broken', 'broken off': 'unknown' } as const

/** The named scenarios, step by step: what was done, what the mount table and the disk then were, and what was checked. */
export function scenariosSection({ scenarios }: LabRecord): Html {
  if (scenarios.length === 0) return html``
  return html`<section id="scenarios" aria-labelledby="scenarios-title">
    <h2 id="scenarios-title">Named scenarios, step by step</h2>
    ${scenarios.map((scenario) => details(scenario))}
  </section>`
}

function details({ name, summary, outcome, reason, durationMs, checks, transcript }: ScenarioRecord): Html {
  const passed = checks.filter((check) => check.passed).length
  return html`<details class="item">
    <summary>
      <span class="name">${name}</span>
      <span class="chip ${SIGN[outcome]}">${icon(SIGN[outcome])}${outcome}</span>
    </summary>
    <div class="body">
      <h3 id="s-${name}" tabindex="-1">${name}</h3>
      <p class="measure">${summary}</p>
      ${reason !== undefined && html`<p class="measure"><b>Broken off:</b> ${reason}</p>`}
      <p class="small soft">${passed} of ${count(checks.length, 'check')} passed, in ${duration(durationMs)}.</p>
      <ol class="steps">
        ${transcript.map((step) => html`<li class="${bad(step) && 'bad'}"><span class="when">${moment(step.atMs)}</span> ${stepOf(step)}</li>`)}
      </ol>
      ${checks.length > 0 && checksTable(checks)}
    </div>
  </details>`
}

function bad(step: Step): boolean {
  return step.kind === 'command' && step.status !== 0
}

function stepOf(step: Step): Html {
  switch (step.kind) {
    case 'say':
      return html`<p class="measure">${step.text}</p>`
    case 'command':
      return html`<p class="small">
          on <b>${step.where}</b>:
          <code>${step.command}</code>${step.status !== 0 && html` <span class="badge">exit status ${step.status}</span>`}
        </p>
        ${step.output !== '' && html`<pre>${cut(step.output, MOST_OUTPUT)}</pre>`}`
    case 'log':
      return html`<p class="small">log of <b>${step.of}</b></p>
        ${step.lines.length > 0 && html`<pre>${cut(step.lines.join('\n'), MOST_OUTPUT)}</pre>`}`
  }
}

function checksTable(checks: ScenarioRecord['checks']): Html {
  return html`<details class="sub">
    <summary>What was checked</summary>
    <div class="scroll" role="group" tabindex="0" aria-label="Checks">
      <table class="plain checks">
        <thead>
          <tr>
            <th scope="col">Check</th>
            <th scope="col">Must be</th>
            <th scope="col">Was</th>
            <th scope="col">Passed</th>
          </tr>
        </thead>
        <tbody>
          ${checks.map(
            ({ name, expected, seen, passed }) =>
              html`<tr>
                <td>${name}</td>
                <td>${cut(expected, 300)}</td>
                <td>${cut(seen, 300)}</td>
                <td>${passed ? 'yes' : html`<b class="badge">no</b>`}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </details>`
}
