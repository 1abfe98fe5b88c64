import type { LabRecord, Title } from '../matrix/lab-record.ts'
import { type Html, html } from './html.ts'
import { absentId } from './ids.ts'

/** What was left out and why, and what the words mean. */
export function closing(record: LabRecord): Html {
  const { failures, mitigations, consumers, outcomes } = record.catalogue
  return html`${absences(record)}
    <section id="words" aria-labelledby="words-title">
      <h2 id="words-title">What the words mean</h2>
      ${glossary('Failures: what was done to the node', failures)}${glossary('Mitigations: the measures against the failures', mitigations)}
      ${glossary('Consumers: the users of the volume', consumers)}${glossary('Outcomes: what a consumer saw, best first', byRank(outcomes))}
    </section>
    <footer>
      <p>
        Written by ${record.tool.name} ${record.tool.version}. Every figure was measured on one machine in this run, by the
        consumers themselves, on a monotonic clock. Each raw event is in the JSON record (<code>lab run --json</code>).
      </p>
    </footer>`
}

function byRank(outcomes: LabRecord['catalogue']['outcomes']): Record<string, Title> {
  return Object.fromEntries(Object.entries(outcomes).sort(([, a], [, b]) => a.rank - b.rank))
}

function glossary(title: string, entries: Readonly<Record<string, Title>>): Html {
  return html`<details class="item">
    <summary><span class="name">${title}</span></summary>
    <div class="body">
      <dl class="words">
        ${Object.values(entries).map(
          (one) =>
            html`<dt>${one.title}</dt>
              <dd>${one.words}</dd>`,
        )}
      </dl>
    </div>
  </details>`
}

/** Combinations without sense, gathered by their reason. */
function absences({ absent, catalogue }: LabRecord): Html | false {
  const whole = absent.filter(({ consumer }) => consumer === undefined)
  if (whole.length === 0) return false
  const reasons = Map.groupBy(whole, ({ reason }) => reason)
  return html`<section id="absent" aria-labelledby="absent-title">
    <h2 id="absent-title">What was left out, and why</h2>
    <p class="measure">These combinations make no sense, or cannot be made to happen to this driver, so there is nothing to run.</p>
    <dl class="words">
      ${[...reasons].map(
        ([reason, those]) =>
          html`<dt>${reason}</dt>
            ${[...Map.groupBy(those, ({ mitigation }) => mitigation)].map(
              ([mitigation, rows]) =>
                html`<dd>
                  <b>${catalogue.mitigations[mitigation]?.title ?? mitigation}</b> against:
                  ${rows.map(
                    ({ failure }, index) =>
                      html`${index > 0 && '; '}<span id="${absentId(failure, mitigation)}" tabindex="-1"
                          >${catalogue.failures[failure]?.title ?? failure}</span
                        >`,
                  )}
                </dd>`,
            )}`,
      )}
    </dl>
  </section>`
}
