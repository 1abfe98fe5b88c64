import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Cell, ConsumerResult, LabRecord } from '../../src/lab/matrix/lab-record.ts'
import {
  anythingDifferent,
  anythingMissing,
  anythingWorse,
  type Comparison,
  compareRecords,
  inNumbers,
} from '../../src/lab/report/comparison.ts'
import { comparisonMarkdown } from '../../src/lab/report/comparison-markdown.ts'
import { comparisonPage } from '../../src/lab/report/comparison-page.ts'
import { markdown } from '../../src/lab/report/markdown.ts'
import { sampleRecord } from '../fixtures/lab-record.ts'

const A = sampleRecord({ lines: 4 })

function beside(b: LabRecord, a: LabRecord = A): Comparison {
  return compareRecords({ file: 'before.json', record: a }, { file: 'after.json', record: b })
}

function withCell(failure: string, mitigation: string, change: (cell: Cell) => readonly Cell[]): LabRecord {
  const cells = A.cells.flatMap((one) => (one.failure === failure && one.mitigation === mitigation ? change(one) : [one]))
  return { ...A, cells }
}

/** The record with one consumer changed: that of the cell in which all keep working. */
function withResult(consumer: string, change: Partial<ConsumerResult>, cell = 'plugin-killed systemd'): LabRecord {
  const [failure = '', mitigation = ''] = cell.split(' ')
  return withCell(failure, mitigation, (one) => [
    { ...one, consumers: one.consumers.map((result) => (result.consumer === consumer ? { ...result, ...change } : result)) },
  ])
}

/** What a reader sees, tags apart. */
function textOf(page: string): string {
  return page
    .replaceAll(/<(style|script)>.*?<\/\1>/gs, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
}

const RESULTS = A.cells.reduce((sum, { consumers }) => sum + consumers.length, 0)

describe('a run beside itself', () => {
  const same = beside(A)

  it('is the same in every result, and in its scenarios', () => {
    assert.deepEqual(same.counts, { worse: 0, better: 0, different: 0, same: RESULTS })
    assert.deepEqual([same.differences, same.onlyA, same.onlyB, same.scenarios], [[], [], [], []])
    assert.deepEqual([anythingWorse(same), anythingMissing(same), anythingDifferent(same)], [false, false, false])
  })

  it('has no table in its Markdown, and says so on its page', () => {
    assert.ok(!comparisonMarkdown(same).includes('|'))
    assert.ok(
      comparisonMarkdown(same).includes(
        `**Of ${RESULTS} results that both have, 0 are worse in B, 0 are better and ${RESULTS} are the same.**`,
      ),
    )
    assert.ok(textOf(comparisonPage(same)).includes('Every result that both have is the same.'))
  })
})

describe('a result of B beside that of A', () => {
  const CASES: { name: string; change: Partial<ConsumerResult>; cell?: string; is: string; what: readonly string[] }[] = [
    { name: 'of a higher rank', change: { seen: 'errors' }, is: 'worse', what: ['outcome'] },
    { name: 'that is undecided', change: { seen: 'undecided' }, is: 'different', what: ['outcome'] },
    {
      name: 'that is undecided, of errors for ever',
      change: { seen: 'undecided' },
      cell: 'plugin-killed none',
      is: 'different',
      what: ['outcome'],
    },
    { name: 'that waits', change: { seen: 'waits' }, is: 'worse', what: ['outcome'] },
    { name: 'of a lower rank', change: { seen: 'works' }, cell: 'plugin-killed none', is: 'better', what: ['outcome'] },
    { name: 'of the same rank', change: { seen: 'never-starts' }, cell: 'plugin-killed none', is: 'different', what: ['outcome'] },
    {
      name: "that could write to the node's disk, of the same outcome",
      change: { wroteToNode: true },
      is: 'worse',
      what: ['outcome'],
    },
    {
      name: "of a better rank that could write to the node's disk",
      change: { seen: 'writes-to-host-recovers', wroteToNode: true },
      cell: 'plugin-killed none',
      is: 'worse',
      what: ['outcome'],
    },
    { name: 'with a longer read', change: { longestStallMs: 2100 }, is: 'worse', what: ['longest read'] },
    {
      name: 'that is right again later',
      change: { firstRightAfterFailureMs: 3900 },
      cell: 'plugin-killed restore-exit',
      is: 'worse',
      what: ['right again after'],
    },
    {
      name: 'that is right again sooner',
      change: { firstRightAfterFailureMs: 100 },
      cell: 'daemon-hung none',
      is: 'better',
      what: ['right again after'],
    },
    {
      name: 'with a longer read, and right again sooner',
      change: { longestStallMs: 3500, firstRightAfterFailureMs: 100 },
      cell: 'daemon-hung none',
      is: 'different',
      what: ['longest read', 'right again after'],
    },
    {
      name: 'with other errors',
      change: { reads: { right: 1, wrong: 0, failed: { EIO: 4 } } },
      cell: 'plugin-killed none',
      is: 'different',
      what: ['errors'],
    },
  ]
  for (const { name, change, cell, is, what } of CASES) {
    it(`${name} is ${is}`, () => {
      const { differences, counts } = beside(withResult('keeps-open', change, cell))
      assert.deepEqual(
        differences.map((one) => [one.change, one.what, one.a.map(({ consumer }) => consumer)]),
        [[is, what, ['keeps-open']]],
      )
      assert.deepEqual(counts, { worse: 0, better: 0, different: 0, same: RESULTS - 1, [is]: 1 })
    })
  }

  for (const [name, change, cell] of [
    ['a time that differs by less than two seconds', { longestStallMs: 1950 }, 'plugin-killed systemd'],
    ['a later first read where no read failed or waited', { firstRightAfterFailureMs: 5000 }, 'plugin-killed systemd'],
    [
      'an error that a race decides',
      { reads: { right: 1, wrong: 0, failed: { ECONNABORTED: 1, ENOTCONN: 4 } } },
      'plugin-killed none',
    ],
    ['a time that differs by less than half', { firstRightAfterFailureMs: 6014 }, 'daemon-hung none'],
    ['another number of the same errors', { reads: { right: 1, wrong: 0, failed: { ENOTCONN: 4 } } }, 'plugin-killed none'],
  ] as const) {
    it(`is the same with ${name}`, () => {
      assert.deepEqual(beside(withResult('keeps-open', change, cell)).differences, [])
    })
  }

  it('is worse the one way and better the other way round', () => {
    const b = withResult('keeps-open', { seen: 'errors' })
    assert.equal(beside(b).counts.worse, 1)
    assert.equal(beside(A, b).counts.better, 1)
  })
})

describe('what only one of two records has', () => {
  it('is told with the reason of the other one', () => {
    const { mitigations, ...others } = A.catalogue
    const { restore: _, ...without } = mitigations
    const b: LabRecord = {
      ...A,
      catalogue: { ...others, mitigations: without },
      absent: [...A.absent, { failure: 'plugin-killed', mitigation: 'none', consumer: 'mapped', reason: 'No map.' }],
      cells: A.cells.flatMap((cell) => {
        const { failure, mitigation } = cell
        if (mitigation === 'restore' || (failure === 'daemon-hung' && mitigation === 'none')) return []
        if (failure === 'daemon-killed' && mitigation === 'none')
          return [{ ...cell, verdict: 'not-run', why: 'No systemd', consumers: [] }]
        if (failure !== 'plugin-killed' || mitigation !== 'none') return [cell]
        return [{ ...cell, consumers: cell.consumers.filter(({ consumer }) => consumer !== 'mapped' && consumer !== 'cwd') }]
      }),
    }
    const there = beside(b)
    const reasons = Map.groupBy(there.onlyA, ({ why }) => why)
    assert.deepEqual(
      [...reasons].map(([why, all]) => [why, all.length]),
      [
        ['No map.', 1],
        ['it was not chosen', 2],
        ['there is no such mitigation', 10],
        ['it was not run: No systemd', 1],
      ],
    )
    assert.deepEqual(there.onlyB, [])
    assert.ok(anythingMissing(there) && !anythingWorse(there))
    assert.match(inNumbers(there), / are the same\. 122 results only A has\.$/)
    assert.match(comparisonMarkdown(there), /- In B No map\.\n {2}- None: Plugin killed \(Memory map\)\n/)
    assert.ok(textOf(comparisonPage(there)).includes('In B it was not run: No systemd None: FUSE daemon killed'))

    const back = beside(A, b)
    assert.equal(back.onlyA.length, 0)
    assert.equal(back.onlyB.length, 14)
    assert.ok(!anythingMissing(back) && anythingDifferent(back))
  })

  it('is all of them if they have nothing in common', () => {
    const none: LabRecord = { ...A, cells: [], scenarios: [] }
    assert.equal(inNumbers(beside(none)), `A and B have no result in common. ${RESULTS} results only A has.`)
    assert.equal(inNumbers(beside(none, none)), 'A and B have no result in common.')
  })

  it('can be a scenario, which is worse where it is no longer as expected', () => {
    const [one, two] = A.scenarios
    assert.ok(one !== undefined && two !== undefined)
    const failed = beside({
      ...A,
      scenarios: [
        { ...one, outcome: 'not as expected' },
        { ...two, outcome: 'as expected' },
      ],
    })
    assert.deepEqual(
      failed.scenarios.map(({ change, a, b }) => [change, a, b]),
      [
        ['worse', 'as expected', 'not as expected'],
        ['better', 'broken off', 'as expected'],
      ],
    )
    assert.ok(anythingWorse(failed))
    assert.match(comparisonMarkdown(failed), /^\| late-mount \| as expected \| not as expected \|$/m)
    const gone = beside({ ...A, scenarios: [] })
    assert.ok(!anythingWorse(gone) && anythingMissing(gone))
  })
})

describe('the comparison in Markdown', () => {
  it('has a line for the consumers that changed alike, with the figures of both', () => {
    const good = A.cells.find(({ failure, mitigation }) => failure === 'plugin-killed' && mitigation === 'systemd')
    assert.ok(good !== undefined)
    const text = comparisonMarkdown(
      beside(withCell('plugin-killed', 'restore', (cell) => [{ ...good, mitigation: cell.mitigation }])),
    )
    assert.ok(
      text.includes(
        '| Plugin killed | Restore mounts | 5 of 10: Keeps its file open; Memory map; Works inside; Pod, private mounts; Neighbour: another volume | ✗ errors for ever | ✓ works | 1,206 (ENOTCONN, SIGBUS) → none | 3 ms | never → 4 ms |\n',
      ),
      text,
    )
    assert.ok(text.includes('**Better in B**\n\n| failure |'))
    assert.ok(!text.includes('Worse in B'))
    const table = text.split('\n').filter((line) => line.startsWith('|'))
    for (const line of table) assert.equal(line.split(/(?<!\\)\|/).length, 10, line)
  })

  it('shows what names hold as it is: no markup, no second line, no further column', () => {
    assert.equal(
      markdown('a|b\n`c` *d* <script> [e](f) &amp; \u001b[31m'),
      'a\\|b\\\\n\\`c\\` \\*d\\* &lt;script&gt; \\[e\\](f) &amp;amp; \\\\u001b\\[31m',
    )
    const hostile = sampleRecord({ lines: 4, text: '|\n\n# x <img src=x> `' })
    const text = comparisonMarkdown(beside({ ...hostile, cells: [] }, hostile))
    assert.ok(!/<img|^# x/m.test(text))
  })
})

describe('the comparison as a page', () => {
  it('tells what is worse before what is better, with the consumers and both outcomes', () => {
    const worse = withResult('keeps-open', { seen: 'errors' })
    const both = {
      ...worse,
      cells: worse.cells.map((cell) =>
        cell.failure === 'mount-late'
          ? { ...cell, consumers: cell.consumers.map((one) => ({ ...one, seen: 'works' as const, wroteToNode: false })) }
          : cell,
      ),
    }
    const page = comparisonPage(beside(both))
    const text = textOf(page)
    assert.ok(text.includes('Worse in B (1)') && text.indexOf('Worse in B') < text.indexOf('Better in B'), text)
    assert.ok(text.includes('Plugin killed, with: Session kept by systemd Keeps its file open works errors for ever'), text)
    assert.ok(
      text.includes(
        'Mount lands late, with: Synchronous INIT 2 of 10: Starts during the failure; Starts after the failure starts late works',
      ),
      text,
    )
    const ids = [...page.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id)
    assert.equal(new Set(ids).size, ids.length)
    for (const [, id] of page.matchAll(/\shref="#([^"]*)"/g)) assert.ok(ids.includes(id), id)
  })

  it('names both drivers where there are two', () => {
    assert.ok(textOf(comparisonPage(beside({ ...A, driver: 'other' }))).includes('dummy-fuse-csi (A) and other (B) side by side'))
  })
})
