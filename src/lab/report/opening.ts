import type { LabRecord } from '../matrix/lab-record.ts'
import type { Advice, Gap } from './advice.ts'
import { EFFECTS, ran, tally } from './effects.ts'
import { type Html, html } from './html.ts'
import { cellId } from './ids.ts'
import { count, duration, listed } from './text.ts'
import { VERDICTS } from './verdicts.ts'

/** Names in a row, the last of which tells the number of the others if there are more. */
const MOST_NAMES = 4

/** What somebody who knows nothing of FUSE needs: what happens, what it means, what to do. */
export function opening(record: LabRecord, advice: Advice): Html {
  return html`<header class="top">
      <p class="kicker">${record.tool.name} lab${record.driver !== record.tool.name && ` · driver ${record.driver}`}</p>
      <h1>What happens to running programs when a FUSE volume fails</h1>
      <p class="lead">${answer(record, advice)}</p>
      ${facts(record)}
    </header>
    <section class="minute" aria-label="In one minute">${whatHappens()}${whatItMeans(record)}${whatToDo(record, advice)}</section>`
}

function answer(record: LabRecord, { best, scores }: Advice): Html {
  const { catalogue, cells } = record
  if (cells.length === 0) return html`This run was of the named scenarios only: no cell of the matrix was tried.`
  if (scores.length === 0) return html`No cell of the matrix could be run, so nothing is known yet.`
  const score = scores.find(({ mitigation }) => mitigation === best[0])
  if (score === undefined)
    return html`Of ${count(scores.length, 'mitigation')} tried, none kept every consumer free of errors in any failure.`
  const none = scores.find(({ mitigation }) => mitigation === 'none')
  return html`<b>${or(best, catalogue.mitigations)}</b> did best: ${best.length > 1 ? 'each of them' : 'it'} kept every consumer
    free of errors in
    ${score.withoutError === score.tried && score.tried > 1 && 'all '}${score.withoutError === score.tried || best.length > 1 ? count(score.withoutError, 'failure') : `${score.withoutError} of ${count(score.tried, 'failure')}`}
    tried.${none !== undefined && !best.includes('none') && ` With nothing done, ${none.withoutError} of ${none.tried} went without an error.`}`
}

function whatHappens(): Html {
  return html`<div class="card">
    <h2>What goes wrong</h2>
    <p>
      A FUSE volume is a folder whose contents come from a program, the <em>daemon</em>. The kernel hands each read to it and waits
      for the answer.
    </p>
    <ol class="chain" aria-label="The way of a read">
      <li class="box"><b>workload</b>reads a file</li>
      <li aria-hidden="true">&rarr;</li>
      <li class="box"><b>kernel</b>the mount</li>
      <li aria-hidden="true">&rarr;</li>
      <li class="box gone"><b>daemon</b>crashed, hung or replaced</li>
    </ol>
    <p>
      When the daemon goes away the folder stays, but nobody answers: reads fail with <q>transport endpoint is not connected</q>
      (ENOTCONN), or wait.
    </p>
  </div>`
}

function whatItMeans({ cells, catalogue }: LabRecord): Html {
  const counts = tally(cells.filter(({ mitigation }) => mitigation === 'none'))
  return html`<div class="card">
    <h2>What it means</h2>
    <p>
      Starting the daemon again is not enough. It makes a <em>new</em> mount; programs that already run still hold the old, dead one
      through an open file, a memory map, their working directory, or a container's own view of the mounts. The node looks healthy
      while its workloads keep failing.
    </p>
    ${
      counts.all > 0 &&
      html`<p>
        With <b>${catalogue.mitigations.none?.title ?? 'none'}</b>, of ${counts.all} cases seen here (a consumer in a failure)
        ${counts.broken} stayed broken${counts.wrong > 0 && ` and ${counts.wrong} saw the node's own disk instead of the volume`}.
      </p>`
    }
  </div>`
}

function whatToDo({ catalogue }: LabRecord, { best, gaps }: Advice): Html {
  const [first = ''] = best
  return html`<div class="card do">
    <h2>What to do</h2>
    ${
      best.length === 0
        ? html`<p>No mitigation of this run keeps workloads working. The matrix shows the mitigations that let them recover.</p>`
        : html`<p>
            <b>Pick: ${or(best, catalogue.mitigations)}.</b>
            ${best.length > 1 && `In this run they did equally well. ${catalogue.mitigations[first]?.title ?? first}:`}
            ${catalogue.mitigations[first]?.words}
          </p>`
    }
    ${
      gaps.length > 0 &&
      html`<p>
          ${best.length > 0 ? `${best.length === 1 ? 'It does' : 'They do'} not cover everything:` : 'The best mitigations for each failure:'}
        </p>
        <ul>
          ${gaps.map((gap) => html`<li>${remedy(gap, catalogue)}</li>`)}
        </ul>`
    }
    ${best.length > 0 && gaps.length === 0 && html`<p>No consumer had an error in any of the failures tried in this run.</p>`}
  </div>`
}

function remedy({ failures: those, least, by, most }: Gap, { failures, mitigations }: LabRecord['catalogue']): Html {
  const name = html`<b>${listed(those.map((id) => failures[id]?.title ?? id))}</b>`
  const which = or(by, mitigations)
  if (least === 'kept' || least === 'waited') return html`${name}: add ${which}.`
  if (least === most && least === 'recovered') return html`${name}: consumers get errors under every mitigation, and recover.`
  if (least === 'undecided') return html`${name}: with ${which}, it is undecided what comes of some consumers.`
  if (least === most) return html`${name}: nothing tried here helps; consumers ${EFFECTS[least].many}.`
  if (least === 'recovered') return html`${name}: with ${which}, consumers get errors for a time, then work.`
  return html`${name}: nothing makes it work, but with ${which} consumers get errors and do not see the wrong disk.`
}

function or(ids: readonly string[], titles: LabRecord['catalogue']['mitigations']): string {
  const names = ids.map((id) => titles[id]?.title ?? id)
  const named = names.length <= MOST_NAMES ? names : [...names.slice(0, MOST_NAMES - 1), `${names.length - MOST_NAMES + 1} others`]
  return listed(named, 'or')
}

/** Whether the model foresaw what came, and where it did not: the cells that are worth a look first. */
export function agreement({ cells, catalogue }: LabRecord): Html | false {
  if (cells.length === 0) return false
  const done = cells.filter(ran)
  const odd = done.filter(({ verdict }) => verdict !== 'as-modelled' && verdict !== 'measured')
  const missing = cells.filter((cell) => !ran(cell))
  const modelled = done.filter(({ verdict }) => verdict !== 'measured')
  const name = ({ failure, mitigation }: (typeof cells)[number]): string =>
    `${catalogue.failures[failure]?.title ?? failure}, with: ${catalogue.mitigations[mitigation]?.title ?? mitigation}`
  const link = (cell: (typeof cells)[number], words: string): Html =>
    html`<li><a href="#${cellId(cell)}">${name(cell)}</a>: ${words}${cell.why !== undefined && `. ${cell.why}`}</li>`
  return html`<section aria-label="Agreement with the model">
    <h2>Do the results agree with the model?</h2>
    <p class="measure">
      ${count(done.length, 'cell')}
      ran${modelled.length > 0 && `; ${modelled.length - odd.length} of ${modelled.length} came out as the lab's model says they must`}.
      ${missing.length > 0 && `${count(missing.length, 'cell')} could not be run.`}
    </p>
    ${
      odd.length > 0 &&
      html`<ul class="measure">
        ${odd.map((cell) => link(cell, VERDICTS[cell.verdict].words))}
      </ul>`
    }
    ${
      missing.length > 0 &&
      html`<details class="sub">
        <summary>What could not be run, and why</summary>
        <ul>
          ${missing.map((cell) => link(cell, VERDICTS['not-run'].words))}
        </ul>
      </details>`
    }
  </section>`
}

/** What was tried, on what, and when. */
export function facts({ tool, node, startedAt, tookMs, seed, jobs }: LabRecord): Html {
  const rows: readonly (readonly [string, string])[] = [
    ['Tried', `${tool.name} ${tool.version} (${tool.commit})`],
    [
      'On',
      `Linux ${node.kernel}, ${count(node.cpus, 'CPU')}${node.fuseProtocol === undefined ? '' : `, FUSE ${node.fuseProtocol}`}`,
    ],
    node.cluster === undefined
      ? ['systemd', node.systemd]
      : [
          'Cluster',
          `Kubernetes ${node.cluster.version}, node ${node.cluster.node} (kubelet ${node.cluster.kubelet}, ${node.cluster.runtime})`,
        ],
    ['When', `${startedAt.replace('T', ' ').replace(/(\.\d+)?Z$/, '')} UTC`],
    ['Took', `${duration(tookMs)}, ${count(jobs, 'cell')} at once, seed ${seed}`],
  ]
  return html`<dl class="facts">
    ${rows.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`
}
