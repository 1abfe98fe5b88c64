import { NEIGHBOUR_ID } from '../matrix/consumers.ts'
import type { LabRecord, MitigationId } from '../matrix/lab-record.ts'
import { effectOf, EFFECTS, ran, WORST_FIRST } from './effects.ts'
import { type Html, html } from './html.ts'
import { icon } from './icons.ts'
import { cellId } from './ids.ts'

/** By failure, what another volume of the same plugin noticed of it, and under which mitigations: the blast radius. */
export function reachSection(record: LabRecord): Html | false {
  const { cells, catalogue } = record
  const rows = Object.entries(catalogue.failures).flatMap(([failure, { title }]) => {
    const row = cells.filter((cell) => cell.failure === failure && ran(cell))
    const seen = row.flatMap(({ mitigation, consumers }) => {
      const neighbour = consumers.find(({ consumer }) => consumer === NEIGHBOUR_ID)
      return neighbour === undefined ? [] : [{ mitigation, effect: effectOf(neighbour) }]
    })
    return seen.length === 0 ? [] : [{ failure, title, byEffect: Map.groupBy(seen, ({ effect }) => effect) }]
  })
  if (rows.length === 0) return false
  return html`<section aria-labelledby="reach">
    <h2 id="reach" tabindex="-1">How far a failure reaches</h2>
    <p class="measure">
      A failure of a daemon or of a mount strikes one volume here, a failure of the plugin or of the machine strikes them all. This
      is what a reader of another volume of the same plugin noticed, and under which mitigations.
    </p>
    <dl class="words">
      ${rows.map(
        ({ failure, title, byEffect }) =>
          html`<dt>${title}</dt>
            ${WORST_FIRST.toReversed().map((effect) => {
              const those = byEffect.get(effect)
              if (those === undefined) return false
              const where =
                byEffect.size === 1 && those.length > 1
                  ? html`under each mitigation that was tried`
                  : cellsOf(failure, those, catalogue)
              return html`<dd><span class="chip ${effect}">${icon(effect)}${EFFECTS[effect].few}</span> ${where}</dd>`
            })}`,
      )}
    </dl>
  </section>`
}

function cellsOf(
  failure: string,
  those: readonly { readonly mitigation: MitigationId }[],
  { mitigations }: LabRecord['catalogue'],
): readonly Html[] {
  return those.map(
    ({ mitigation }, index) =>
      html`${index > 0 && '; '}<a href="#${cellId({ failure, mitigation })}">${mitigations[mitigation]?.title ?? mitigation}</a>`,
  )
}
