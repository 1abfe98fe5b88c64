import { OUTCOMES } from '../matrix/outcomes.ts'
import {
  CHANGES,
  type Change,
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
import { markdown, markdownTable } from './markdown.ts'

const HEADINGS: Readonly<Record<Change, string>> = {
  worse: 'Worse in B',
  different: 'Different, neither better nor worse',
  better: 'Better in B',
}

const FIGURES = '_Where a line stands for several consumers, its figures are those of the worst of them._\n'

/** The comparison for a pull request: what differs as tables, the rest in numbers. Ends with a line feed. */
export function comparisonMarkdown(comparison: Comparison): string {
  const { a, b, onlyA, onlyB, scenarios, teardowns } = comparison
  const parts = [
    `### What happens when a FUSE volume fails: A and B\n`,
    `${side('A', a)}\n${side('B', b)}\n`,
    `**${inNumbers(comparison)}**\n`,
    ...CHANGES.map((change) => tableOf(comparison, change)),
    comparison.differences.some(({ a }) => a.length > 1) ? FIGURES : '',
    teardowns.length === 0
      ? ''
      : `**When every pod leaves**\n\n${markdownTable(
          ['failure', 'mitigation', 'B is', 'A', 'B'],
          teardowns.map(({ failure, mitigation, change, a, b }) =>
            [titleOf(comparison, 'failures', failure), titleOf(comparison, 'mitigations', mitigation), change, ...[a, b]].map(
              markdown,
            ),
          ),
        )}`,
    scenarios.length === 0
      ? ''
      : `**Scenarios**\n\n${markdownTable(
          ['scenario', 'A', 'B'],
          scenarios.map(({ name, a, b }) => [markdown(name), markdown(a), markdown(b)]),
        )}`,
    lone(comparison, 'A', onlyA),
    lone(comparison, 'B', onlyB),
  ]
  return parts.filter((part) => part !== '').join('\n')
}

function side(name: string, one: Side): string {
  return `- ${name}: ${markdown(one.record.driver)} (${markdown(one.file)}; ${markdown(origin(one))})`
}

function tableOf(comparison: Comparison, change: Change): string {
  const those = comparison.differences.filter((one) => one.change === change)
  if (those.length === 0) return ''
  const heads = ['failure', 'mitigation', 'consumers', 'A', 'B', 'errors', 'longest read', 'right again after']
  return `**${HEADINGS[change]}**\n\n${markdownTable(
    heads,
    those.map((one) => row(comparison, one)),
  )}`
}

function row(comparison: Comparison, difference: Difference): readonly string[] {
  const { failure, mitigation, a, b } = difference
  const both = (of: (results: Difference['a']) => string): string => {
    const [before, after] = [of(a), of(b)]
    return markdown(before === after ? before : `${before} → ${after}`)
  }
  const outcome = ([one]: Difference['a']): string =>
    one === undefined
      ? ''
      : `${OUTCOMES[one.seen].symbol} ${OUTCOMES[one.seen].title}${one.wroteToNode ? ", writes to the node's disk" : ''}`
  return [
    markdown(titleOf(comparison, 'failures', failure)),
    markdown(titleOf(comparison, 'mitigations', mitigation)),
    markdown(whom(comparison, difference)),
    markdown(outcome(a)),
    markdown(outcome(b)),
    both(errorsOf),
    both(longestRead),
    both(rightAgain),
  ]
}

/** What only one of them has. */
function lone(comparison: Comparison, name: 'A' | 'B', all: readonly Lone[]): string {
  if (all.length === 0) return ''
  const other = name === 'A' ? 'B' : 'A'
  const reasons = loneByReason(comparison, all).map(
    ({ why, lines }) => `- In ${other} ${markdown(why)}\n${lines.map((line) => `  - ${markdown(line)}\n`).join('')}`,
  )
  return `<details><summary>Only ${name} has</summary>\n\n${reasons.join('')}\n</details>\n`
}
