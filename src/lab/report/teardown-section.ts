import type { Cell, TeardownCall } from '../matrix/lab-record.ts'
import { listing } from './evidence.ts'
import { type Html, html } from './html.ts'
import { leftInWords, teardownWords } from './teardown-findings.ts'
import { duration } from './text.ts'

/** How the pods of a cell left the node, and what a new pod saw after that; nothing for a cell without that. */
export function teardownSection(cell: Cell): Html | false {
  const { teardown } = cell
  if (teardown === undefined) return false
  const { calls, newPod, tookMs } = teardown
  const all = [...calls, ...(newPod?.calls ?? [])]
  return html`<h5>When every pod leaves</h5>
    <p class="measure">${teardownWords(cell)} It took ${duration(tookMs)}.</p>
    <details class="sub">
      <summary>The calls, and what was left</summary>
      ${all.length > 0 && callTable(all)}
      <p class="small"><b>Left after the calls for the pods of the cell:</b></p>
      ${listing(leftInWords(teardown))}
    </details>`
}

function callTable(calls: readonly TeardownCall[]): Html {
  return html`<div class="scroll" role="group" tabindex="0" aria-label="Calls of the kubelet">
    <table class="plain">
      <thead>
        <tr>
          <th scope="col">Call</th>
          <th scope="col">Attempts</th>
          <th scope="col">Took</th>
          <th scope="col">Came to</th>
        </tr>
      </thead>
      <tbody>
        ${calls.map(
          ({ rpc, path, attempts, tookMs, succeeded, failure }) =>
            html`<tr>
              <td>${rpc} ${path}</td>
              <td>${attempts}</td>
              <td>${duration(tookMs)}</td>
              <td>
                ${succeeded && 'OK'}${succeeded && failure !== undefined && ', after '}${failure !== undefined && `${failure.code}: ${failure.message}`}
              </td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`
}
