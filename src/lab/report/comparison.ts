import type { Cell, ConsumerResult, LabRecord } from '../matrix/lab-record.ts'
import { compare } from '../matrix/outcomes.ts'
import { allCells, effectOf, ran, WORST_FIRST } from './effects.ts'
import { teardownProblems, teardownWords } from './teardown-findings.ts'
import { count, duration, listed, thousands } from './text.ts'

/**
 * Two times differ if they do by more than this, in milliseconds, and by more than half of the smaller one. What is less is what a busy machine does:
 * two runs of one driver beside other work differed by up to 1.3 s.
 */
const LEAST_DIFFERENCE = 2000
const LEAST_RATIO = 1.5

/** One of the two records, and the file that it is from. */
export interface Side {
  readonly file: string
  readonly record: LabRecord
}

/** How B compares with A. `different`: neither better nor worse. */
export type Change = 'worse' | 'better' | 'different'

export const CHANGES: readonly Change[] = ['worse', 'different', 'better']

/** Consumers of one cell that changed alike: they had the same outcome in A, and have the same in B. */
export interface Difference {
  readonly failure: string
  readonly mitigation: string
  readonly change: Change
  /** What changed. */
  readonly what: readonly ('outcome' | 'errors' | 'longest read' | 'right again after')[]
  /** In the order of the catalogue, with the same consumers at the same places. */
  readonly a: readonly ConsumerResult[]
  readonly b: readonly ConsumerResult[]
  /** How many consumers of the cell both records have. */
  readonly of: number
}

/** A cell, or consumers of it, of which only one of the two records tells something. */
export interface Lone {
  readonly failure: string
  readonly mitigation: string
  /** All that ran if there is no cell in the other record. */
  readonly consumers: readonly string[]
  /** Whether these are all consumers of the cell. */
  readonly whole: boolean
  /** Why there is nothing of it in the other one. */
  readonly why: string
}

/** A scenario that came out in another way, or that only one of the two has (`none` in the other). */
interface ScenarioDifference {
  readonly name: string
  readonly change: Change
  readonly a: string
  readonly b: string
}

/** A cell whose teardown came out in another way. `a`, `b`: in words. */
interface TeardownDifference {
  readonly failure: string
  readonly mitigation: string
  readonly change: Change
  readonly a: string
  readonly b: string
}

/** Two records side by side. Numbers are of consumers in cells. */
export interface Comparison {
  readonly a: Side
  readonly b: Side
  readonly differences: readonly Difference[]
  readonly onlyA: readonly Lone[]
  readonly onlyB: readonly Lone[]
  readonly scenarios: readonly ScenarioDifference[]
  readonly teardowns: readonly TeardownDifference[]
  readonly counts: Readonly<Record<Change | 'same', number>>
}

/** Compares what consumers saw, cell by cell: B with A. */
export function compareRecords(a: Side, b: Side): Comparison {
  const differences: Difference[] = []
  let same = 0
  for (const cell of allCells(a.record).filter(ran)) {
    const other = cellAt(b.record, cell)
    if (other === undefined || !ran(other)) continue
    const pairs = cell.consumers.flatMap((one) => {
      const two = other.consumers.find(({ consumer }) => consumer === one.consumer)
      return two === undefined ? [] : [{ one, two, ...changeOf(one, two) }]
    })
    same += pairs.filter(({ change }) => change === undefined).length
    const alike = Map.groupBy(pairs, ({ one, two, change, what }) =>
      [change, one.seen, two.seen, one.wroteToNode, two.wroteToNode, ...what].join(),
    )
    for (const group of alike.values()) {
      const [first] = group
      if (first?.change === undefined) continue
      differences.push({
        failure: cell.failure,
        mitigation: cell.mitigation,
        change: first.change,
        what: first.what,
        a: group.map(({ one }) => one),
        b: group.map(({ two }) => two),
        of: pairs.length,
      })
    }
  }
  const number = (change: Change): number =>
    differences.filter((one) => one.change === change).reduce((sum, one) => sum + one.a.length, 0)
  return {
    a,
    b,
    differences,
    onlyA: loneOf(a.record, b.record),
    onlyB: loneOf(b.record, a.record),
    scenarios: scenarioDifferences(a.record, b.record),
    teardowns: teardownDifferences(a.record, b.record),
    counts: { worse: number('worse'), better: number('better'), different: number('different'), same },
  }
}

function changeOf(a: ConsumerResult, b: ConsumerResult): Pick<Difference, 'what'> & { readonly change: Change | undefined } {
  const harm = (one: ConsumerResult): number => -WORST_FIRST.indexOf(effectOf(one))
  if (a.seen !== b.seen || a.wroteToNode !== b.wroteToNode) {
    if (a.seen === 'undecided' || b.seen === 'undecided') return { change: 'different', what: ['outcome'] }
    const byHarm = harm(b) - harm(a)
    const byRank = compare(b.seen, a.seen)
    const change = byHarm > 0 ? 'worse' : byHarm < 0 ? 'better' : byRank === 'same' ? 'different' : byRank
    return { change, what: ['outcome'] }
  }
  const what: Difference['what'][number][] = []
  const slower: boolean[] = []
  for (const [name, before, after] of [
    ['longest read', a.longestStallMs, b.longestStallMs],
    ['right again after', a.firstRightAfterFailureMs, b.firstRightAfterFailureMs],
  ] as const) {
    // Where no read failed or waited, the time to the next right one is that of the consumer's own pace.
    if (name === 'right again after' && a.seen === 'works') continue
    if (before === null || after === null || !differ(before, after)) continue
    what.push(name)
    slower.push(after > before)
  }
  if (errorNames(a) !== errorNames(b)) what.unshift('errors')
  if (what.length === 0) return { change: undefined, what }
  if (what.includes('errors') || new Set(slower).size > 1) return { change: 'different', what }
  return { change: slower[0] === true ? 'worse' : 'better', what }
}

/** Which errors there were. ECONNABORTED is the ENOTCONN of a read that was under way when the connection ended: a race decides. */
function errorNames({ reads }: ConsumerResult): string {
  const names = Object.keys(reads.failed).map((name) => (name === 'ECONNABORTED' ? 'ENOTCONN' : name))
  return [...new Set(names)].sort().join()
}

function differ(one: number, two: number): boolean {
  const [less, more] = [Math.min(one, two), Math.max(one, two)]
  return more - less > LEAST_DIFFERENCE && more > less * LEAST_RATIO
}

function cellAt(record: LabRecord, { failure, mitigation }: Pick<Cell, 'failure' | 'mitigation'>): Cell | undefined {
  return allCells(record).find((one) => one.failure === failure && one.mitigation === mitigation)
}

/** What ran in `one` and has nothing beside it in `other`. */
function loneOf(one: LabRecord, other: LabRecord): readonly Lone[] {
  return allCells(one)
    .filter(ran)
    .flatMap((cell): readonly Lone[] => {
      const { failure, mitigation } = cell
      const beside = cellAt(other, cell)
      const absent = (consumer?: string): string | undefined =>
        other.absent.find((entry) => entry.failure === failure && entry.mitigation === mitigation && entry.consumer === consumer)
          ?.reason
      const consumers = cell.consumers.map(({ consumer }) => consumer)
      const whole = { failure, mitigation, consumers, whole: true }
      if (beside === undefined) return [{ ...whole, why: absent() ?? whyNotChosen(cell, other) }]
      if (!ran(beside)) return [{ ...whole, why: `it was not run: ${beside.why ?? 'no reason was given'}` }]
      const missing = consumers.filter((id) => !beside.consumers.some(({ consumer }) => consumer === id))
      const byReason = Map.groupBy(
        missing,
        (id) => absent(id) ?? (id in other.catalogue.consumers ? 'it was not chosen' : 'there is no such consumer'),
      )
      return [...byReason].map(([why, those]) => ({ failure, mitigation, consumers: those, whole: false, why }))
    })
}

function whyNotChosen({ failure, mitigation }: Cell, { catalogue }: LabRecord): string {
  if (!(mitigation in catalogue.mitigations)) return 'there is no such mitigation'
  return failure in catalogue.failures ? 'it was not chosen' : 'there is no such failure'
}

function scenarioDifferences(a: LabRecord, b: LabRecord): readonly ScenarioDifference[] {
  const outcome = ({ scenarios }: LabRecord, name: string): string => scenarios.find((one) => one.name === name)?.outcome ?? 'none'
  const names = new Set([...a.scenarios, ...b.scenarios].map(({ name }) => name))
  return [...names].flatMap((name): readonly ScenarioDifference[] => {
    const [before, after] = [outcome(a, name), outcome(b, name)]
    if (before === after) return []
    const change =
      after === 'as expected' && before !== 'none' ? 'better' : before === 'as expected' && after !== 'none' ? 'worse' : 'different'
    return [{ name, change, a: before, b: after }]
  })
}

/** Where both have a teardown, and not the same is wrong with it. */
function teardownDifferences(a: LabRecord, b: LabRecord): readonly TeardownDifference[] {
  return allCells(a).flatMap((cell): readonly TeardownDifference[] => {
    const other = cellAt(b, cell)
    if (cell.teardown === undefined || other?.teardown === undefined) return []
    const [before, after] = [cell, other].map((one) => teardownProblems(one).map(({ what }) => what)) as [string[], string[]]
    const came = after.some((what) => !before.includes(what))
    const went = before.some((what) => !after.includes(what))
    if (!came && !went) return []
    const change = came && went ? 'different' : came ? 'worse' : 'better'
    const { failure, mitigation } = cell
    return [{ failure, mitigation, change, a: teardownWords(cell), b: teardownWords(other) }]
  })
}

/** Whether anything got worse: a consumer, a teardown, or a scenario. */
export function anythingWorse({ counts, scenarios, teardowns }: Comparison): boolean {
  return counts.worse > 0 || [...scenarios, ...teardowns].some(({ change }) => change === 'worse')
}

/** What ran in A and did not in B: what B does there is not known. */
export function anythingMissing({ onlyA, scenarios }: Comparison): boolean {
  return onlyA.length > 0 || scenarios.some(({ b }) => b === 'none')
}

/** Whether the two differ in anything. */
export function anythingDifferent({ differences, onlyA, onlyB, scenarios, teardowns }: Comparison): boolean {
  return differences.length + onlyA.length + onlyB.length + scenarios.length + teardowns.length > 0
}

/** The counts in one sentence: `Of 90 results that both have, 2 are worse in B, 5 are better, 1 is different, and 82 are the same.` */
export function inNumbers({ counts: { worse, better, different, same }, onlyA, onlyB }: Comparison): string {
  const all = worse + better + different + same
  const is = (number: number, what: string): string => `${thousands(number)} ${number === 1 ? 'is' : 'are'} ${what}`
  const lone = [
    ['A', loneCount(onlyA)],
    ['B', loneCount(onlyB)],
  ] as const
  const alone = lone.filter(([, number]) => number > 0).map(([name, number]) => `${count(number, 'result')} only ${name} has`)
  const otherwise = different === 0 ? [] : [is(different, 'different')]
  const parts = [is(worse, 'worse in B'), is(better, 'better'), ...otherwise, is(same, 'the same')]
  return `${all === 0 ? 'A and B have no result in common.' : `Of ${count(all, 'result')} that both have, ${listed(parts)}.`}${
    alone.length === 0 ? '' : ` ${listed(alone)}.`
  }`
}

function loneCount(all: readonly Lone[]): number {
  return all.reduce((sum, { consumers }) => sum + consumers.length, 0)
}

/** What is alone, by the reason, and there by mitigation: `Restore mounts: Plugin killed; Connection aborted (Memory map)`. */
export function loneByReason(
  comparison: Comparison,
  all: readonly Lone[],
): readonly { readonly why: string; readonly lines: readonly string[] }[] {
  const cell = ({ failure, consumers, whole }: Lone): string => {
    const names = consumers.map((id) => titleOf(comparison, 'consumers', id)).join(', ')
    return `${titleOf(comparison, 'failures', failure)}${whole ? '' : ` (${names})`}`
  }
  return [...Map.groupBy(all, ({ why }) => why)].map(([why, those]) => ({
    why,
    lines: [...Map.groupBy(those, ({ mitigation }) => mitigation)].map(
      ([mitigation, cells]) => `${titleOf(comparison, 'mitigations', mitigation)}: ${cells.map(cell).join('; ')}`,
    ),
  }))
}

/** Which consumers changed, in words: `all 10 consumers`, `2 of 10: Memory map; Works inside`. */
export function whom(comparison: Comparison, { a, of }: Difference): string {
  if (a.length === of && of > 1) return `all ${of} consumers`
  const names = a.map(({ consumer }) => titleOf(comparison, 'consumers', consumer)).join('; ')
  return a.length === 1 ? names : `${a.length} of ${of}: ${names}`
}

/** A title of the catalogues, B's first. */
export function titleOf({ a, b }: Comparison, kind: 'failures' | 'mitigations' | 'consumers', id: string): string {
  return b.record.catalogue[kind][id]?.title ?? a.record.catalogue[kind][id]?.title ?? id
}

/** The errors of some consumers: `ENOTCONN`, or `none`; `wrong bytes` for reads that were answered with others. */
export function errorsOf(results: readonly ConsumerResult[]): string {
  const names = new Set(results.flatMap(({ reads }) => [...Object.keys(reads.failed), ...(reads.wrong > 0 ? ['wrong bytes'] : [])]))
  const numbers = results.map(({ reads }) => Object.values(reads.failed).reduce((sum, one) => sum + one, reads.wrong))
  return names.size === 0 ? 'none' : `${thousands(Math.max(...numbers))} (${[...names].sort().join(', ')})`
}

/** The longest time that a read of theirs took. */
export function longestRead(results: readonly ConsumerResult[]): string {
  if (results.every(({ longestStallAtMs }) => longestStallAtMs === null)) return 'no read'
  return duration(Math.max(...results.map(({ longestStallMs }) => longestStallMs)))
}

/** The longest time after which one of them read right again. */
export function rightAgain(results: readonly ConsumerResult[]): string {
  const times = results.map(({ firstRightAfterFailureMs }) => firstRightAfterFailureMs)
  return times.includes(null) ? 'never' : duration(Math.max(...times.map((one) => one ?? 0)))
}

/** When a record was made, on which machine, by what. */
export function origin({ record: { tool, node, startedAt, cells } }: Side): string {
  const where = node.cluster === undefined ? `Linux ${node.kernel}` : `Kubernetes ${node.cluster.version}, Linux ${node.kernel}`
  return `${startedAt.replace('T', ' ').replace(/(\.\d+)?Z$/, '')} UTC, ${where}, ${tool.name} ${tool.version} (${tool.commit}), ${count(cells.filter(ran).length, 'cell')}`
}
