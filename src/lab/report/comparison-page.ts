import type { ConsumerResult } from '../matrix/lab-record.ts'
import { OUTCOMES } from '../matrix/outcomes.ts'
import {
  type Change,
  CHANGES,
  type Comparison,
  type Difference,
  errorsOf,
  inNumbers,
  type Lone,
  loneByReason,
  longestRead,
  origin,
  rightAgain,
  type Side,
  titleOf,
  whom,
} from './comparison.ts'
import { effectOf } from './effects.ts'
import { type Html, html } from './html.ts'
import { icon } from './icons.ts'
import { page } from './page.ts'

const HEADINGS: Readonly<Record<Change, readonly [title: string, words: string]>> = {
  worse: ['Worse in B', 'What a consumer saw in B is worse for it than what it saw in A, or took noticeably longer.'],
  different: ['Different, neither better nor worse', 'B came to something else, or to other errors.'],
  better: ['Better in B', 'What a consumer saw in B is better for it than what it saw in A, or was noticeably faster.'],
}

/** The comparison as one HTML file, in the style of the report. */
export function comparisonPage(comparison: Comparison): string {
  const { a, b } = comparison
  const main = html`<header class="top">
      <p class="kicker">${b.record.tool.name} lab &middot; two runs side by side</p>
      <h1>
        ${a.record.driver === b.record.driver ? `${b.record.driver}: what changed from A to B` : `${a.record.driver} (A) and ${b.record.driver} (B) side by side`}
      </h1>
      <p class="lead">${inNumbers(comparison)}</p>
    </header>
    <div class="sides">${side('A', a)}${side('B', b)}</div>
    <section aria-labelledby="changes">
      <h2 id="changes" tabindex="-1">What differs</h2>
      ${
        comparison.differences.length === 0
          ? html`<p class="measure">Every result that both have is the same.</p>`
          : html`<p class="measure">
              A line stands for all consumers of a cell that changed alike. Its figures are those of the worst of them. Times count
              as changed if they differ by more than two seconds and by more than half.
            </p>`
      }
      ${CHANGES.map((change) => changes(comparison, change))}
    </section>
    ${teardowns(comparison)} ${scenarios(comparison)} ${lone(comparison, 'A', comparison.onlyA)}
    ${lone(comparison, 'B', comparison.onlyB)}
    <footer>
      <p>Written by ${b.record.tool.name} from two records of <code>lab run --json</code>. All figures are in them.</p>
    </footer>`
  return page(`${a.record.driver}, ${b.record.driver}: two runs of the lab`, { to: 'changes', text: 'Skip to what differs' }, main)
}

function side(name: string, one: Side): Html {
  return html`<div class="card">
    <h2>${name}: ${one.record.driver}</h2>
    <p class="small">${one.file}</p>
    <p class="small soft">${origin(one)}</p>
  </div>`
}

function changes(comparison: Comparison, change: Change): Html | false {
  const those = comparison.differences.filter((one) => one.change === change)
  if (those.length === 0) return false
  const [title, words] = HEADINGS[change]
  const heads = ['What, and whom', 'A', 'B', 'Errors', 'Longest read', 'Right again after']
  return html`<h3 id="${change}">${title} (${comparison.counts[change]})</h3>
    <p class="measure small soft">${words}</p>
    <table class="changes cards" role="table" aria-labelledby="${change}">
      <thead role="rowgroup">
        <tr role="row">
          ${heads.map((head) => html`<th role="columnheader" scope="col">${head}</th>`)}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${those.map((one) => row(comparison, one))}
      </tbody>
    </table>`
}

function row(comparison: Comparison, difference: Difference): Html {
  const { failure, mitigation, a, b, what } = difference
  const both = (name: Difference['what'][number], of: (results: readonly ConsumerResult[]) => string): Html => {
    const [before, after] = [of(a), of(b)]
    if (before === after) return html`${before}`
    return what.includes(name) ? html`<b>${before} &rarr; ${after}</b>` : html`${before} &rarr; ${after}`
  }
  return html`<tr role="row">
    <th role="rowheader" scope="row">
      ${titleOf(comparison, 'failures', failure)}, with: ${titleOf(comparison, 'mitigations', mitigation)}
      <small>${whom(comparison, difference)}</small>
    </th>
    <td role="cell">${outcome(a[0])}</td>
    <td role="cell">${outcome(b[0])}</td>
    <td role="cell">${both('errors', errorsOf)}</td>
    <td role="cell">${both('longest read', longestRead)}</td>
    <td role="cell">${both('right again after', rightAgain)}</td>
  </tr>`
}

function outcome(one: ConsumerResult | undefined): Html | false {
  if (one === undefined) return false
  const effect = effectOf(one)
  return html`<span class="chip ${effect}">${icon(effect)}${OUTCOMES[one.seen].title}</span
    >${one.wroteToNode && html`<br />could write to the node's disk`}`
}

function teardowns(comparison: Comparison): Html | false {
  const { teardowns: those } = comparison
  if (those.length === 0) return false
  return html`<section aria-labelledby="teardowns">
    <h2 id="teardowns">When every pod leaves</h2>
    <dl class="words">
      ${those.map(
        ({ failure, mitigation, change, a, b }) =>
          html`<dt>
              ${titleOf(comparison, 'failures', failure)}, with: ${titleOf(comparison, 'mitigations', mitigation)} (${change})
            </dt>
            <dd>A: ${a}</dd>
            <dd>B: ${b}</dd>`,
      )}
    </dl>
  </section>`
}

function scenarios({ scenarios: those }: Comparison): Html | false {
  if (those.length === 0) return false
  return html`<section aria-labelledby="scenarios-title">
    <h2 id="scenarios-title">Scenarios that came out otherwise</h2>
    <dl class="words">
      ${those.map(
        ({ name, a, b }) =>
          html`<dt>${name}</dt>
            <dd>A: ${a}. B: ${b}.</dd>`,
      )}
    </dl>
  </section>`
}

function lone(comparison: Comparison, name: 'A' | 'B', all: readonly Lone[]): Html | false {
  if (all.length === 0) return false
  const id = `only-${name.toLowerCase()}`
  const other = name === 'A' ? 'B' : 'A'
  return html`<section aria-labelledby="${id}">
    <h2 id="${id}">Only ${name} has</h2>
    <dl class="words">
      ${loneByReason(comparison, all).map(
        ({ why, lines }) =>
          html`<dt>In ${other} ${why}</dt>
            ${lines.map((line) => html`<dd>${line}</dd>`)}`,
      )}
    </dl>
  </section>`
}
