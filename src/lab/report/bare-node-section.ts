import type { Disagreement, LabRecord } from '../matrix/lab-record.ts'
import { type Html, html } from './html.ts'
import { cellId } from './ids.ts'
import { count } from './text.ts'

/** Of a run on a cluster: where it came to something that the bare node does not come to, by failure and mitigation. */
export function bareNodeSection(record: LabRecord): Html | false {
  const { disagreements, catalogue, cells } = record
  if (disagreements === undefined || cells.length === 0) return false
  const consumers = cells.reduce((all, cell) => all + cell.consumers.length, 0)
  const outcome = (id: Disagreement['cluster']): string => catalogue.outcomes[id].title
  const byCell = Map.groupBy(disagreements, ({ failure, mitigation }) => `${failure} ${mitigation}`)
  return html`<section aria-labelledby="bare-node">
    <h2 id="bare-node" tabindex="-1">Do the cluster and the bare node agree?</h2>
    <p class="measure">
      ${comparedWith(record)} ${consumers - disagreements.length} of ${count(consumers, 'consumer')} came to the same on both.
    </p>
    ${
      disagreements.length > 0 &&
      html`<dl class="words">
        ${[...byCell.values()].map(([first, ...others]) => first && cell(first, others, catalogue, outcome))}
      </dl>`
    }
  </section>`
}

function comparedWith({ bareNode }: LabRecord): string {
  if (bareNode === undefined) return 'Each consumer is compared with what the model says of a bare node.'
  const { version, commit, kernel, startedAt } = bareNode
  return `Each consumer is compared with the run of ${startedAt.slice(0, 10)} on a bare node (version ${version}, ${commit}, Linux ${kernel}), and with what the model says of one.`
}

function cell(
  first: Disagreement,
  others: readonly Disagreement[],
  { failures, mitigations, consumers }: LabRecord['catalogue'],
  outcome: (id: Disagreement['cluster']) => string,
): Html {
  const { failure, mitigation } = first
  return html`<dt>
      <a href="#${cellId(first)}">${failures[failure]?.title ?? failure}, with: ${mitigations[mitigation]?.title ?? mitigation}</a>
    </dt>
    ${[...Map.groupBy([first, ...others], (one) => `${one.cluster} ${one.bareNode} ${one.why ?? ''}`).values()].map(
      (same) =>
        html`<dd>
          <b>${same.map(({ consumer }) => consumers[consumer]?.title ?? consumer).join('; ')}</b>:
          ${outcome(same[0]?.cluster ?? 'works')} on the cluster, ${outcome(same[0]?.bareNode ?? 'works')} on the bare node.
          ${same[0]?.why ?? 'The lab knows no reason.'}
        </dd>`,
    )}`
}
