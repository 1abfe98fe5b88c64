import type { Absent, Cell, LabRecord } from '../matrix/lab-record.ts'
import type { Advice, Score } from './advice.ts'
import { type Effect, effectOf, EFFECTS, ran, shortly, tally, worstOf, WORST_FIRST } from './effects.ts'
import { type DriverFindings, unchangedWords } from './findings.ts'
import { absentId, cellId } from './ids.ts'
import { type Html, html } from './html.ts'
import { icon } from './icons.ts'
import { notTriedWords } from './not-tried.ts'
import { VERDICTS } from './verdicts.ts'

/** As many columns as fit a wide screen without scrolling. */
const FITTING = 12

/**
 * Failures down, mitigations across, and what came of it in each cell. Roles are given because narrow screens show it as cards. `found`: of a driver
 * without a model; the mitigations that changed nothing have no column then.
 */
export function matrixSection(record: LabRecord, advice: Advice, found?: DriverFindings): Html {
  const { catalogue, cells } = record
  const mitigations = Object.entries(catalogue.mitigations).filter(
    ([id]) => inRun(record, 'mitigation', id) && found?.unchanged.includes(id) !== true,
  )
  const unchanged = found === undefined ? undefined : unchangedWords(found, record)
  const notTriedHere = found === undefined ? [] : notTriedWords(record)
  const failures = Object.entries(catalogue.failures).filter(([id]) => inRun(record, 'failure', id))
  if (cells.length === 0) return html``
  // Nothing is the best where the driver as it is does as well.
  const { best: leading, scores } = advice
  const best = found !== undefined && leading.includes(found.baseline) ? [] : leading
  return html`<section class="across" aria-labelledby="matrix">
    <h2 id="matrix" tabindex="-1">Every failure against every mitigation</h2>
    <p class="measure">
      A row is a failure, a column is a mitigation. Each cell was run
      ${record.node.cluster === undefined ? 'on this machine' : 'on a node of a cluster'} with
      ${Object.keys(catalogue.consumers).length} kinds of consumer at once, and shows the worst result of any of them. Open one to
      see what happened, moment by moment.
      ${found === undefined && "A framed word marks a result that differs from the lab's model."}
    </p>
    ${unchanged !== undefined && html`<p class="measure">${unchanged} Their cells are below, and not in this table.</p>`}
    ${
      notTriedHere.length > 0 &&
      html`<p class="measure">Not tried:</p>
        <ul class="measure">
          ${notTriedHere.map((words) => html`<li>${words}</li>`)}
        </ul>`
    }
    ${legend(cells)}
    <div class="tools" id="tools" hidden>
      <label for="as">Show it for</label>
      <select id="as" class="button">
        <option value="">all consumers, the worst of them</option>
        ${Object.entries(catalogue.consumers).map(([id, { title }]) => html`<option value="${id}">${title}</option>`)}
      </select>
      <span id="as-told" role="status" class="small soft"></span>
    </div>
    <div class="region${mitigations.length <= FITTING && ' fits'}" role="group" aria-label="The matrix" tabindex="0">
      <table class="matrix${mitigations.length > 5 && ' many'}" role="table" aria-labelledby="matrix">
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col">Failure</th>
            ${mitigations.map(
              ([id, { title }]) =>
                html`<th role="columnheader" scope="col" class="${best.includes(id) && 'best'}">${breakable(title)}</th>`,
            )}
          </tr>
        </thead>
        <tbody role="rowgroup">
          ${scoreRow(mitigations, scores, best)}
          ${failures.map(
            ([failure, { title }]) =>
              html`<tr role="row">
                <th role="rowheader" scope="row"><a href="#f-${failure}">${title}</a></th>
                ${mitigations.map(([mitigation, words]) => html`<td role="cell">${cellAt(record, failure, mitigation, words.title)}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`
}

/** Effects that are explained only where they were seen. */
const RARE: readonly Effect[] = ['undecided', 'lost']

function legend(cells: readonly Cell[]): Html {
  const counts = tally(cells)
  const shown = WORST_FIRST.toReversed().filter((effect) => !RARE.includes(effect) || counts[effect] > 0)
  return html`<ul class="legend" aria-label="What the cells mean, the best first">
    ${shown.map(
      (effect) =>
        html`<li class="chip ${effect}">
          ${icon(effect)}<span><b>${EFFECTS[effect].few}</b>: ${EFFECTS[effect].meaning}</span>
        </li>`,
    )}
  </ul>`
}

function scoreRow(
  mitigations: readonly [string, { readonly title: string }][],
  scores: readonly Score[],
  best: readonly string[],
): Html {
  return html`<tr role="row" class="score">
    <th role="rowheader" scope="row">Failures without any error</th>
    ${mitigations.map(([id, { title }]) => {
      const score = scores.find(({ mitigation }) => mitigation === id)
      return html`<td role="cell">
        <span class="sum">
          <span class="for">${title}</span>
          <span
            >${score === undefined ? 'not run' : `${score.withoutError} of ${score.tried}`}${best.includes(id) && html` <span class="badge">best</span>`}</span
          >
          ${score && meter(score)}
        </span>
      </td>`
    })}
  </tr>`
}

function meter({ withoutError, tried }: Score): Html {
  const percent = Math.round((100 * withoutError) / tried)
  return html`<svg class="meter" aria-hidden="true"><rect width="${percent}%" height="100%" /></svg>`
}

function cellAt(record: LabRecord, failure: string, mitigation: string, title: string): Html {
  const here = (one: Cell | Absent): boolean => one.failure === failure && one.mitigation === mitigation
  const cell = record.cells.find(here)
  if (cell !== undefined) return filled(record, cell, title)
  const index = record.absent.findIndex((one) => here(one) && one.consumer === undefined)
  if (index < 0) return html`<span class="cell none"><span class="for">${title}</span><span class="words">not chosen</span></span>`
  return html`<a class="cell none" href="#${absentId(failure, mitigation)}"
    >${icon('unknown')}<span class="for">${title}</span><span class="words">does not apply</span></a
  >`
}

function filled({ catalogue }: LabRecord, cell: Cell, title: string): Html {
  const worst = worstOf(cell) ?? 'unknown'
  const results = Object.keys(catalogue.consumers).map((id) => cell.consumers.find(({ consumer }) => consumer === id))
  const effects = results.map((result) => (result === undefined || !ran(cell) ? 'absent' : effectOf(result)))
  const badge = VERDICTS[cell.verdict].badge
  const [onHowMany, words] = shortly(cell)
  return html`<a class="cell ${worst}" href="#${cellId(cell)}" data-effects="${effects.join(' ')}"
    >${icon(worst)}<span class="for">${title}</span><b class="number">${onHowMany}</b> <span class="words">${words}</span>
    <span class="under"
      >${ran(cell) && html`<span class="strip" aria-hidden="true">${effects.map((one) => html`<i class="${one}"></i>`)}</span>`}${badge !== '' && html`<span class="badge">${badge}<span class="unseen"> than modelled</span></span>`}</span
    ></a
  >`
}

/** Whether anything of the run, or of its absences beside a run row or column, concerns this id. */
function inRun({ cells }: LabRecord, side: 'failure' | 'mitigation', id: string): boolean {
  return cells.some((cell) => cell[side] === id)
}

/** A title for a narrow column: where a word written together may be broken. */
function breakable(title: string): readonly Html[] {
  return title.split(/(?<=[a-z])(?=[A-Z])/).map((part, index) => html`${index > 0 && html`<wbr />`}${part}`)
}
