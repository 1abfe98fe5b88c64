import type { Cell, ConsumerResult, LabRecord } from '../matrix/lab-record.ts'
import { effectOf } from './effects.ts'
import { listing } from './evidence.ts'
import { type Html, html } from './html.ts'
import { icon } from './icons.ts'
import { duration, thousands } from './text.ts'
import { writesWords } from './writes.ts'

/** What each consumer saw, beside what the model says, with its reason. A table, or cards where it is narrow: hence the roles. */
export function consumersTable(cell: Cell, { catalogue }: LabRecord): Html {
  const outcome = (id: ConsumerResult['seen']): string => catalogue.outcomes[id].title
  const name = (id: string): string => catalogue.consumers[id]?.title ?? id
  const beside = cell.consumers.some(({ bareNode }) => bareNode !== undefined)
  const heads = [
    'Consumer',
    'Seen',
    ...(beside ? ['On the bare node'] : []),
    'Reads',
    'Longest read',
    'Right again after',
    'Open descriptor',
    'What the model says, and why',
  ]
  return html`<table class="consumers cards" role="table">
      <caption class="unseen">
        What each consumer saw
      </caption>
      <thead role="rowgroup">
        <tr role="row">
          ${heads.map((head) => html`<th role="columnheader" scope="col">${head}</th>`)}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${cell.consumers.map((one) => {
          const effect = effectOf(one)
          return html`<tr role="row">
            <th role="rowheader" scope="row">${name(one.consumer)}</th>
            <td role="cell"><span class="chip ${effect}">${icon(effect)}${outcome(one.seen)}</span></td>
            ${beside && html`<td role="cell">${onBareNode(one, outcome)}</td>`}
            <td role="cell">${reads(one)}</td>
            <td role="cell">${one.longestStallAtMs === null ? 'no read' : duration(one.longestStallMs)}</td>
            <td role="cell">${one.firstRightAfterFailureMs === null ? 'never' : duration(one.firstRightAfterFailureMs)}</td>
            <td role="cell">${descriptor(one)}</td>
            <td role="cell">${model(one, outcome(one.expected))}</td>
          </tr>`
        })}
      </tbody>
    </table>
    <details class="sub">
      <summary>The mount table as each consumer sees it at the end</summary>
      ${[...Map.groupBy(cell.consumers, ({ mountTable }) => mountTable.join('\n')).values()].map(
        (same) =>
          html`<p class="small"><b>${same.map(({ consumer }) => name(consumer)).join('; ')}</b></p>
            ${listing(same[0]?.mountTable ?? [], 'no mount of the volume')}`,
      )}
    </details>`
}

function reads(result: ConsumerResult): Html {
  const { failedBefore, restarts, wroteToNode, watchedMs } = result
  const { right, wrong, failed } = result.reads
  const parts = [
    `${thousands(right)} right`,
    ...(wrong > 0 ? [`${thousands(wrong)} wrong`] : []),
    ...Object.entries(failed).map(([errno, times]) => `${thousands(times)} ${errno}`),
    ...(restarts > 0 ? [`started again ${restarts === 1 ? 'once' : `${restarts} times`}`] : []),
    ...(failedBefore > 0 ? [`${thousands(failedBefore)} not right before the failure`] : []),
  ]
  const written = writesWords(result).map((words) => html`<br />${words}`)
  return html`${parts.join(', ')}${wroteToNode && html`, <b>could write to the node's disk</b>`}${written}<br /><span class="soft"
      >watched for ${duration(watchedMs)}</span
    >`
}

/** The outcome that was seen there, or else those that the model says. */
function onBareNode({ bareNode, seen }: ConsumerResult, outcome: (id: ConsumerResult['seen']) => string): Html {
  const ids = bareNode?.seen === undefined ? (bareNode?.modelled ?? []) : [bareNode.seen]
  const agrees = ids.includes(seen) || bareNode?.modelled.includes(seen) === true
  const words = ids.map(outcome).join(' or ')
  return agrees ? html`${words}` : html`<b>${words}</b>`
}

function descriptor({ descriptorLived }: ConsumerResult): string {
  if (descriptorLived === null) return 'holds none'
  return descriptorLived ? 'lived' : 'died'
}

function model({ expected, seen, reason, source }: ConsumerResult, title: string): Html {
  if (reason === '' && source === '') return html`<span class="soft">no model of this driver</span>`
  return html`${expected === seen ? html`<b>the same</b>` : html`<b class="badge">${title}</b>`}: ${reason}
  ${source !== '' && html`<span class="soft">(${source})</span>`}`
}
