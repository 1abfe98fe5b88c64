import type { Cell, ConsumerResult, LabRecord, Teardown } from '../matrix/lab-record.ts'
import { OUTCOMES } from '../matrix/outcomes.ts'
import type { ScenarioRecord } from '../scenario-record.ts'
import { effectOf, ran } from './effects.ts'
import { type Html, html as xml } from './html.ts'
import { isWrongAnyway, teardownProblems, teardownWords } from './teardown-findings.ts'
import { duration } from './text.ts'
import { writesWords } from './writes.ts'

/** What came of a test, with its reason; a test that passed or was skipped may have `text`, which viewers show as its output. */
interface TestCase {
  readonly name: string
  readonly seconds: number
  readonly result: 'passed' | 'failure' | 'error' | 'skipped'
  /** Of `failure`: an id that viewers group by. */
  readonly type?: string
  /** One line. */
  readonly message?: string
  readonly text?: string
}

interface TestSuite {
  readonly name: string
  /** ISO 8601, UTC, of its first test. */
  readonly startedAt: string
  readonly cases: readonly TestCase[]
}

/**
 * The record as the XML that Jenkins, GitLab and the publishers of GitHub read as JUnit's (there is no standard; the elements and attributes are those
 * of the schema of Jenkins's xunit plugin, junit-10.xsd). A suite is a mitigation, a test is what one consumer saw of one failure; the scenarios are
 * one more suite, whose tests are their checks. What is undecided is skipped. The cell without a failure is a suite
 * where a consumer, or its teardown, did badly in it. The consumers of a cell share its time. A test fails where the model says otherwise. Where there is no
 * model (another driver), it fails if the consumer stays broken, sees the node's own disk or loses writes, and each cell has one more test: its teardown.
 */
export function junit(record: LabRecord): string {
  const nothingRan = record.cells.length > 0 && !record.cells.some(ran)
  const suites = [
    ...Object.keys(record.catalogue.mitigations).flatMap((name) => {
      const cells = record.cells.filter(({ mitigation }) => mitigation === name)
      return cells.length === 0 ? [] : [suiteOf(name, cells, record, nothingRan)]
    }),
    ...(record.scenarios.length > 0 ? [scenarios(record)] : []),
    ...firstUse(record),
  ]
  if (record.complete === false) suites.push(unfinished(record))
  const cases = suites.flatMap((suite) => suite.cases)
  return `<?xml version="1.0" encoding="UTF-8"?>\n${
    xml`<testsuites name="${record.tool.name} lab: ${record.driver}" ${counts(cases)}>
      ${suites.map((suite) => element(suite, record))}
    </testsuites>`.text
  }\n`
}

function suiteOf(name: string, cells: readonly Cell[], record: LabRecord, nothingRan: boolean): TestSuite {
  return { name, startedAt: cells[0]?.startedAt ?? '', cases: cells.flatMap((cell) => casesOf(cell, record, nothingRan)) }
}

/** The cell without a failure, if anything was wrong in it. */
function firstUse(record: LabRecord): readonly TestSuite[] {
  const { firstUse: cell } = record
  if (cell === undefined) return []
  const isBad = cell.consumers.some((one) => harmOf(one) !== undefined) || teardownProblems(cell).length > 0
  return isBad ? [suiteOf(cell.failure, [cell], record, false)] : []
}

function casesOf(cell: Cell, record: LabRecord, nothingRan: boolean): readonly TestCase[] {
  const { failure, tookMs, verdict, teardown, why = 'no reason was given' } = cell
  if (!ran(cell)) return [{ name: failure, seconds: tookMs / 1000, result: nothingRan ? 'error' : 'skipped', message: why }]
  const seconds = (tookMs - (teardown?.tookMs ?? 0)) / 1000 / cell.consumers.length
  const cases = cell.consumers.map((one): TestCase => {
    const message = verdict === 'measured' ? harmOf(one) : differenceOf(one)
    const common = { name: `${failure}: ${one.consumer}`, seconds, text: seenBy(one) }
    if (one.seen === 'undecided' && message === undefined)
      return { ...common, result: 'skipped', message: `undecided after ${duration(one.watchedMs)}` }
    return message === undefined ? { ...common, result: 'passed' } : { ...common, result: 'failure', type: one.seen, message }
  })
  if (teardown !== undefined) cases.push(teardownCase(cell, teardown, record))
  const explained = verdict === 'as-modelled' || verdict === 'measured' || cases.some(({ result }) => result === 'failure')
  return explained ? cases : [...cases, { name: `${failure}: node`, seconds: 0, result: 'failure', type: verdict, message: why }]
}

/** It fails for what is not wrong with the first use too. */
function teardownCase(cell: Cell, { tookMs }: Teardown, record: LabRecord): TestCase {
  const common = { name: `${cell.failure}: teardown`, seconds: tookMs / 1000, text: teardownWords(cell) }
  const problems = teardownProblems(cell)
  const own = problems.filter((problem) => !isWrongAnyway(problem, cell, record))
  const message = own.map(({ what }) => what).join(' ')
  const [worst] = own
  if (worst !== undefined) return { ...common, result: 'failure', type: worst.harm, message }
  if (problems.length > 0) return { ...common, result: 'skipped', message: 'The same is wrong without any failure: first-use.' }
  return { ...common, result: 'passed' }
}

function differenceOf({ seen, expected, alsoExpected = [] }: ConsumerResult): string | undefined {
  if (seen === expected || alsoExpected.includes(seen)) return undefined
  return `${OUTCOMES[seen].title}, not ${OUTCOMES[expected].title}`
}

function harmOf(result: ConsumerResult): string | undefined {
  const effect = effectOf(result)
  if (effect !== 'broken' && effect !== 'wrong' && effect !== 'lost') return undefined
  return OUTCOMES[result.seen].title + (result.wroteToNode ? ", could write to the node's own disk" : '')
}

function seenBy(result: ConsumerResult): string {
  const { seen, reason, reads, longestStallMs, firstRightAfterFailureMs, watchedMs } = result
  const failed = Object.entries(reads.failed).map(([name, number]) => `, ${number} ${name}`)
  const again = firstRightAfterFailureMs === null ? 'never' : duration(firstRightAfterFailureMs)
  return [
    `${OUTCOMES[seen].title}: ${OUTCOMES[seen].words}`,
    `Reads: ${reads.right} right, ${reads.wrong} wrong${failed.join('')}.`,
    `Watched for ${duration(watchedMs)}. Longest read: ${duration(longestStallMs)}. Right again after: ${again}.`,
    ...writesWords(result).map((words) => `Writes, ${words}.`),
    ...(reason === '' ? [] : [`The model: ${reason}`]),
  ].join('\n')
}

function scenarios({ scenarios: all, startedAt }: LabRecord): TestSuite {
  return { name: 'scenarios', startedAt, cases: all.flatMap(checksOf) }
}

function checksOf({ name, outcome, reason, durationMs, checks }: ScenarioRecord): readonly TestCase[] {
  const brokenOff = outcome === 'broken off' || checks.length === 0
  const seconds = durationMs / 1000 / (checks.length + (brokenOff ? 1 : 0))
  const cases = checks.map((check): TestCase => {
    const common = { name: `${name}: ${check.name}`, seconds }
    if (check.passed) return { ...common, result: 'passed' }
    return { ...common, result: 'failure', type: 'check', message: `${check.seen}, not ${check.expected}` }
  })
  return brokenOff ? [...cases, { name, seconds, result: 'error', message: reason ?? 'it made no check' }] : cases
}

/** A run that was ended before all that was chosen had begun. */
function unfinished({ startedAt }: LabRecord): TestSuite {
  return {
    name: 'run',
    startedAt,
    cases: [{ name: 'complete', seconds: 0, result: 'error', message: 'the run was ended before everything had run' }],
  }
}

function element({ name, startedAt, cases }: TestSuite, { driver, tool, node }: LabRecord): Html {
  const properties: readonly (readonly [string, string])[] = [
    ['driver', driver],
    ['lab', `${tool.name} ${tool.version} (${tool.commit})`],
    ['kernel', node.kernel],
    ['systemd', node.systemd],
  ]
  const timestamp = startedAt.replace(/(\.\d+)?Z$/, '')
  return xml`<testsuite name="${name}" ${counts(cases)} skipped="${number(cases, 'skipped')}" timestamp="${timestamp}">
    <properties>
      ${properties.map(([key, value]) => xml`<property name="${key}" value="${value}"/>`)}
    </properties>
    ${cases.map((one) => testCase(one, `${driver}.${name}`))}
  </testsuite>
  `
}

function testCase({ name, seconds, result, type, message = '', text }: TestCase, className: string): Html {
  const said = text !== undefined && xml`<system-out>${text}</system-out>`
  const inner = {
    passed: said,
    failure: xml`<failure message="${message}" type="${type}">${text ?? message}</failure>`,
    error: xml`<error message="${message}">${message}</error>`,
    skipped: xml`<skipped message="${message}"/>${said}`,
  }[result]
  return xml`<testcase classname="${className}" name="${name}" time="${seconds.toFixed(3)}">${inner}</testcase>
  `
}

/** The attributes that both kinds of suites have. */
function counts(cases: readonly TestCase[]): Html {
  const seconds = cases.reduce((sum, one) => sum + one.seconds, 0)
  return xml`tests="${cases.length}" failures="${number(cases, 'failure')}" errors="${number(cases, 'error')}" time="${seconds.toFixed(3)}"`
}

function number(cases: readonly TestCase[], result: TestCase['result']): number {
  return cases.filter((one) => one.result === result).length
}
