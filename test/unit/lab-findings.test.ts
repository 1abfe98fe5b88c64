import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Cell, ConsumerResult, LabRecord, OutcomeId, Teardown } from '../../src/lab/matrix/lab-record.ts'
import { anythingDifferent, anythingWorse, compareRecords, type Side } from '../../src/lab/report/comparison.ts'
import { comparisonMarkdown } from '../../src/lab/report/comparison-markdown.ts'
import { comparisonPage } from '../../src/lab/report/comparison-page.ts'
import { driverFindings, type DriverFindings, harmOf, unchangedWords, unnoticedWords } from '../../src/lab/report/findings.ts'
import { junit } from '../../src/lab/report/junit.ts'
import { renderReport } from '../../src/lab/report/report.ts'
import { summaryMarkdown } from '../../src/lab/report/summary-markdown.ts'
import { failedCall, sampleRecord, sampleTeardown } from '../fixtures/lab-record.ts'

const SAMPLE = sampleRecord({ lines: 4 })
const [CELL] = SAMPLE.cells
const [RESULT] = CELL?.consumers ?? []

/** What a consumer saw: its outcome, or with more than that. */
type Seen = OutcomeId | (Partial<ConsumerResult> & { readonly seen: OutcomeId })

/** A cell of a driver in which everybody keeps working, but for some. */
function cell(failure: string, mitigation: string, seen: Readonly<Record<string, Seen>>, disk: readonly string[] = []): Cell {
  assert.ok(CELL !== undefined && RESULT !== undefined)
  const nothing = { right: 50, wrong: 0, failed: {} }
  const consumers = ['keeps-open', 'opens-anew', 'starts-after', 'exits-on-error'].map((consumer): ConsumerResult => {
    const one = seen[consumer] ?? seen.all ?? 'works'
    const more = typeof one === 'string' ? { seen: one } : one
    const base = { ...RESULT, consumer, expected: more.seen, reads: nothing, wroteToNode: false, restarts: 0 }
    return { ...base, longestStallMs: 3, firstRightAfterFailureMs: 4, ...more }
  })
  const events = [{ atMs: 1000, until: 3500, lane: 'cwd', kind: 'right' as const, text: '' }]
  const evidence = { ...CELL.evidence, disk }
  return { ...CELL, failure, mitigation, verdict: 'measured', failureAtMs: 1000, consumers, events, evidence }
}

function record(cells: readonly Cell[]): LabRecord {
  const { failures, consumers, outcomes } = SAMPLE.catalogue
  const words = { words: '' }
  const mitigations = {
    'as-is': { title: 'As it is', ...words },
    'consumers-exit': { title: 'Consumers exit', ...words },
    health: { title: 'Health watched', ...words },
  }
  return {
    ...SAMPLE,
    driver: 'go-driver',
    catalogue: { failures, mitigations, consumers, outcomes },
    cells,
    absent: [],
    scenarios: [],
  }
}

function found(cells: readonly Cell[]): DriverFindings {
  const all = driverFindings(record(cells))
  assert.ok(all !== undefined)
  return all
}

const DEAD = { seen: 'errors', firstRightAfterFailureMs: null, reads: { right: 9, wrong: 0, failed: { ENOTCONN: 1200 } } } as const
const ASTRAY = { seen: 'writes-to-host', wroteToNode: true, reads: { right: 9, wrong: 0, failed: { ENOENT: 7 } } } as const
const BACK = { seen: 'recovers', firstRightAfterFailureMs: 700, reads: { right: 9, wrong: 0, failed: { ENOTCONN: 30 } } } as const

/** A driver with one failure of each harm. */
const CELLS = [
  cell('no-descriptors', 'as-is', {}),
  cell('daemon-hung', 'as-is', { 'keeps-open': { seen: 'waits', longestStallMs: 1800 } }),
  cell('plugin-upgraded', 'as-is', { 'opens-anew': BACK }),
  cell('daemon-killed', 'as-is', { all: DEAD, 'starts-after': 'works', 'exits-on-error': { seen: 'restarted', restarts: 1 } }),
  cell('plugin-killed', 'as-is', { all: DEAD, 'starts-after': 'never-starts' }),
  cell('connection-aborted', 'as-is', { all: DEAD, 'starts-after': 'never-starts' }),
  cell('staging-unmounted', 'as-is', { 'starts-after': ASTRAY, 'keeps-open': DEAD }, ['/var/lib/a', '/var/lib/b', '/var/lib/c']),
]

/** A consumer that lost records of one way. */
function losing(by: 'write' | 'fsync'): Seen {
  const ways = (['write', 'fsync', 'close'] as const).map((one) => ({
    ...{ by: one, acknowledged: 1200, refused: one === 'fsync' ? { EIO: 30 } : {}, longestMs: 3100 },
    lost: one === by ? 41 : 0,
    lostBefore: one === by ? 2 : 0,
  }))
  return { seen: by === 'fsync' ? 'loses-synced' : 'loses-unsynced', writes: { ways } }
}

describe('writes that were acknowledged and are lost', () => {
  const synced = cell('machine-crash', 'as-is', { 'keeps-open': losing('fsync'), 'opens-anew': DEAD })
  const unsynced = cell('plugin-killed', 'as-is', { 'keeps-open': losing('write') })

  it('are the first finding where fsync had acknowledged them, and come after errors for ever where it had not', () => {
    const { findings } = found([...CELLS.filter(({ failure }) => failure !== 'plugin-killed'), unsynced, synced])
    assert.deepEqual(
      findings.map(({ harm }) => harm),
      ['lost-synced', 'astray', 'for-ever', 'lost-unsynced', 'until-restart', 'for-a-time', 'stalls'],
    )
    const [first] = findings
    assert.equal(
      first?.what,
      '1 of 4 consumers (Keeps its file open) loses acknowledged writes, and 1 stays broken. Not in the files at the end: 41 of 1,200 records that fsync had acknowledged.',
    )
    assert.match(
      first.evidence[0]?.text ?? '',
      /^write: 1,200 acknowledged, the longest took 3.1 s; fsync: 1,200 acknowledged, 41 of them lost \(2 from before the failure\), refused with 30 EIO, the longest took 3.1 s; close: /,
    )
    assert.match(findings[3]?.what ?? '', /41 of 1,200 records that write alone had acknowledged\.$/)
    assert.match(findings[3]?.cure ?? '', /Consumers that need their data call fsync\.$/)
  })

  it('are in the three sentences, and so is that none were lost, or that it is not known', () => {
    const none = losing('write')
    assert.ok(typeof none !== 'string' && none.writes !== undefined)
    const { ways } = none.writes
    const kept = ways.map((way) => ({ ...way, lost: 0, lostBefore: 0 }))
    const sentences = (cells: readonly Cell[]): readonly string[] => found(cells).sentences
    const [breaks, long, astray] = sentences([synced])
    assert.match(breaks ?? '', /^1 of the 1 failure tried breaks consumers/)
    assert.match(long ?? '', /for ever for the writes that were lost, with Machine loses power/)
    assert.match(
      astray ?? '',
      /^No data went astray: .* With Machine loses power, acknowledged writes are lost: 41 of 1,200 records that fsync had acknowledged\.$/,
    )
    const well = cell('daemon-hung', 'as-is', { 'keeps-open': { seen: 'waits', writes: { ways: kept } } })
    assert.match(sentences([well])[2] ?? '', /No acknowledged write was lost with FUSE daemon hung\.$/)
    const open = cell('daemon-hung', 'as-is', {
      'keeps-open': { seen: 'waits', writes: { ways: kept, notReadBack: 'no new pod came' } },
    })
    assert.match(sentences([open])[2] ?? '', /Whether acknowledged writes were lost with FUSE daemon hung is not known\.$/)
    const first = { ...synced, failure: 'first-use' }
    assert.match(
      driverFindings({ ...record([well]), firstUse: first })?.sentences[2] ?? '',
      / With first-use, acknowledged writes are lost: .* No acknowledged write was lost with FUSE daemon hung\.$/,
    )
    const where = { failure: 'daemon-hung', mitigation: 'as-is', consumer: 'writes', reason: 'The volume refuses writes: EROFS.' }
    assert.match(
      driverFindings({ ...record(CELLS.slice(1, 2)), absent: [where] })?.sentences[2] ?? '',
      / No consumer wrote\. The volume refuses writes: EROFS\.$/,
    )
  })

  it('fail a test of JUnit, and are worse than any other outcome in a comparison', () => {
    const [before, after] = [cell('plugin-killed', 'as-is', { 'keeps-open': DEAD }), unsynced]
    assert.match(
      junit(record([after])),
      /<failure message="loses writes" type="loses-unsynced">[^]*Writes, write: 1,200 acknowledged, 41 of them lost/,
    )
    const side = (one: Cell): Side => ({ file: 'a.json', record: record([one]) })
    assert.ok(anythingWorse(compareRecords(side(before), side(after))))
  })
})

describe('what a failure does', () => {
  const HARMS = ['none', 'stalls', 'for-a-time', 'until-restart', 'for-ever', 'for-ever', 'astray']
  CELLS.forEach((one, index) => {
    it(`is told by the worst of it: ${one.failure} is ${HARMS[index] ?? ''}`, () => {
      assert.equal(harmOf(one), HARMS[index])
    })
  })

  it('is for ever where a consumer that starts afterwards fares no better, or where none was tried', () => {
    const some = cell('plugin-killed', 'as-is', { all: DEAD, 'starts-after': 'works' })
    assert.equal(harmOf(some), 'for-ever')
    assert.match(found([some]).findings[0]?.what ?? '', /Some that start after it, or again, do no better\.$/)
    const none = cell('plugin-killed', 'as-is', { all: DEAD })
    const without = { ...none, consumers: none.consumers.slice(0, 2) }
    assert.equal(harmOf(without), 'for-ever')
    assert.match(found([without]).findings[0]?.what ?? '', /No consumer that starts after it was tried\.$/)
  })

  it("is data on the node's disk also where only a file of it was found, and not where nothing could be written", () => {
    assert.equal(harmOf(cell('mount-late', 'as-is', {}, ['/var/lib/a'])), 'astray')
    assert.equal(harmOf(cell('mount-late', 'as-is', { 'keeps-open': 'writes-to-host-recovers' })), 'for-a-time')
  })
})

describe('a consumer in a deleted folder', () => {
  it('is in the evidence and in the sentence on data', () => {
    const { sentences, findings } = found([
      cell('staging-unmounted', 'as-is', { 'starts-after': { ...ASTRAY, deletedFolder: '/a' } }),
    ])
    assert.match(
      sentences[2],
      /and nothing of it was left there at the end\. 1 consumer has a folder that was deleted: what is written there is lost\.$/,
    )
    assert.match(
      findings[0]?.evidence[0]?.text ?? '',
      /^1 consumer has a deleted folder in place of the volume: what is written there is lost; /,
    )
  })
})

describe('the findings about a driver', () => {
  const all = found(CELLS)

  it('are three sentences: what breaks whom, for how long, and whether data goes astray', () => {
    assert.deepEqual(all.sentences, [
      '4 of the 7 failures tried break consumers of go-driver: FUSE daemon killed and Staging unmounted by hand (2 of 4 consumers); Plugin killed and Connection aborted (all 4 consumers).',
      'That lasts for ever, as far as the lab watched (2.5 s or longer), with Plugin killed, Connection aborted and Staging unmounted by hand; until the consumer is restarted, with FUSE daemon killed; at most 700 ms, with Plugin upgraded; reads wait for up to 1.8 s with FUSE daemon hung.',
      "Data goes astray with Staging unmounted by hand: 1 consumer could write to the node's own disk instead of the volume, and 3 files were there at the end.",
    ])
  })

  it('are ordered by harm, and failures that did the same are one', () => {
    assert.deepEqual(
      all.findings.map(({ harm, failures }) => [harm, failures]),
      [
        ['astray', ['staging-unmounted']],
        ['for-ever', ['plugin-killed', 'connection-aborted']],
        ['until-restart', ['daemon-killed']],
        ['for-a-time', ['plugin-upgraded']],
        ['stalls', ['daemon-hung']],
      ],
    )
    assert.equal(unnoticedWords(all, record(CELLS)), 'No consumer noticed Out of descriptors.')
  })

  it('say whom, for how long, and by what it is seen', () => {
    assert.deepEqual(
      all.findings.map(({ what, evidence }) => [what, ...evidence.map(({ text }) => text)]),
      [
        [
          '1 of 4 consumers (Starts after the failure) sees the wrong disk, and 1 stays broken. It lasted to the end. The lab watched each of them for 2.5 s or longer. Consumers that start after it, or again, do no better.',
          "on the node's disk: /var/lib/a, /var/lib/b and 1 more file; reads that failed: 7 ENOENT",
        ],
        [
          'All 4 consumers stay broken. The lab watched each of them for 2.5 s or longer. Consumers that start after it, or again, do no better.',
          'reads that failed: 3,600 ENOTCONN; 1 consumer could not be started',
          'reads that failed: 3,600 ENOTCONN; 1 consumer could not be started',
        ],
        [
          '2 of 4 consumers (Keeps its file open; Opens anew each time) stay broken. The lab watched each of them for 2.5 s or longer. Consumers that start after it, or again, read right.',
          'reads that failed: 2,400 ENOTCONN',
        ],
        [
          '1 of 4 consumers (Opens anew each time) gets errors, then works. Reads were right again after at most 700 ms.',
          'reads that failed: 30 ENOTCONN',
        ],
        [
          '1 of 4 consumers (Keeps its file open) waits, then works. The longest that a read took was 1.8 s.',
          'the longest read took 1.8 s',
        ],
      ],
    )
  })

  it('name the mitigation that makes the least of it, or say that none does', () => {
    const cure = (...others: readonly Cell[]): string | undefined =>
      found([cell('plugin-killed', 'as-is', { all: DEAD }), ...others]).findings[0]?.cure
    const half = cell('plugin-killed', 'consumers-exit', { all: DEAD, 'starts-after': 'works', 'exits-on-error': 'restarted' })
    const whole = cell('plugin-killed', 'health', { all: 'restarted' })
    assert.equal(cure(), 'No mitigation was tried.')
    assert.equal(
      cure(cell('plugin-killed', 'health', { all: DEAD })),
      'None of the mitigations tried makes it less: Health watched.',
    )
    assert.equal(cure(half), 'With Consumers exit it is less: errors until the consumer is restarted, 2 of 4 consumers.')
    assert.equal(cure(half, whole), 'With Health watched it is less: errors for a time, 4 of 4 consumers.')
    assert.equal(cure(cell('plugin-killed', 'health', {}), half), 'With Health watched no consumer has an error.')
    const fewer = cell('plugin-killed', 'consumers-exit', { all: DEAD, 'keeps-open': 'works' })
    assert.equal(cure(fewer), 'With Consumers exit it is less: errors for ever, 3 of 4 consumers.')
  })

  it('say so where nothing breaks, nothing lasts, and nothing goes astray', () => {
    assert.deepEqual(found([cell('plugin-killed', 'as-is', {})]).sentences, [
      'No consumer of go-driver broke for good in the 1 failure tried.',
      'No read failed, and none took a second or longer.',
      "No data went astray: no consumer could write to the node's own disk.",
    ])
    assert.equal(
      found([cell('daemon-hung', 'as-is', { all: { seen: 'waits', longestStallMs: 1200 } })]).sentences[1],
      'No read failed; reads wait for up to 1.2 s with FUSE daemon hung.',
    )
  })

  it('are of the first mitigation that ran, and there are none of a run with a model, or of which nothing ran', () => {
    assert.equal(
      found([cell('plugin-killed', 'health', {}), cell('plugin-killed', 'consumers-exit', {})]).baseline,
      'consumers-exit',
    )
    assert.equal(driverFindings(SAMPLE), undefined)
    assert.equal(driverFindings(record([])), undefined)
  })
})

describe('what is undecided', () => {
  const OPEN = { seen: 'undecided', firstRightAfterFailureMs: null, watchedMs: 2100 } as const
  const some = cell('plugin-killed', 'as-is', { 'keeps-open': OPEN, 'opens-anew': BACK })

  it('is a finding of its own, which says how long the lab watched, and never that it is for ever', () => {
    assert.equal(harmOf(some), 'undecided')
    const { sentences, findings } = found([some])
    assert.equal(sentences[0], 'No consumer of go-driver broke for good in the 1 failure tried.')
    assert.equal(
      sentences[1],
      'That lasts for a time that is undecided, because the lab watched too shortly (2.1 s or longer), with Plugin killed.',
    )
    assert.equal(
      findings[0]?.what,
      '1 of 4 consumers (Keeps its file open) is undecided. The lab watched each of them for 2.1 s or longer. That was too short to say what comes of them; a longer watch in the file of the driver tells.',
    )
    const page = renderReport(record([some]))
    const opening = page.slice(page.indexOf('<header'), page.indexOf('id="matrix"'))
    assert.ok(opening.includes('is undecided') && !opening.includes('for ever'), opening)
  })

  it('leaves it open whether a restart helps', () => {
    const fresh = cell('plugin-killed', 'as-is', {
      all: DEAD,
      'starts-after': OPEN,
      'exits-on-error': { seen: 'restarted', restarts: 1 },
    })
    assert.equal(harmOf(fresh), 'undecided')
    assert.match(
      found([fresh]).findings[0]?.what ?? '',
      /^1 of 4 consumers \(Starts after the failure\) is undecided, and 2 stay broken\./,
    )
  })

  it('is no cure, and changes nothing that could be said', () => {
    const dead = cell('plugin-killed', 'as-is', { all: DEAD })
    const open = cell('plugin-killed', 'health', { all: OPEN })
    assert.equal(found([dead, open]).findings[0]?.cure, 'What the mitigations tried make of it is undecided.')
    assert.deepEqual(found([some, { ...some, mitigation: 'health' }]).unchanged, [])
  })
})

describe('a mitigation that changed nothing', () => {
  const cells = [
    ...CELLS,
    ...CELLS.map((one): Cell => ({ ...one, mitigation: 'consumers-exit' })),
    cell('plugin-killed', 'health', { all: 'restarted' }),
  ]
  const all = found(cells)

  it('is folded into a sentence, and one that changed a single consumer is not', () => {
    assert.deepEqual(all.unchanged, ['consumers-exit'])
    assert.equal(
      unchangedWords(all, record(cells)),
      'Consumers exit changed nothing: each consumer came to the same as with As it is.',
    )
    const one = cell('plugin-killed', 'consumers-exit', { all: DEAD, 'starts-after': 'never-starts', 'keeps-open': 'works' })
    const others = cells.filter((other) => other.failure !== 'plugin-killed' || other.mitigation !== 'consumers-exit')
    assert.deepEqual(found([...others, one]).unchanged, [])
  })

  it('has no column in the matrix, and its cells stay', () => {
    const page = renderReport(record(cells))
    const matrix = page.slice(page.indexOf('<table class="matrix'), page.indexOf('</table>'))
    assert.deepEqual(
      [...matrix.matchAll(/<th role="columnheader" scope="col" class="[^"]*">([^<]*)/g)].map(([, title]) => title),
      ['As it is', 'Health watched'],
    )
    assert.ok(page.includes('Consumers exit changed nothing'))
    assert.ok(page.includes('id="c-plugin-killed--consumers-exit"'))
    assert.ok(!page.includes('Pick:'))
    const ids = [...page.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id)
    assert.equal(new Set(ids).size, ids.length)
    for (const [, id] of page.matchAll(/\shref="#([^"]*)"/g)) assert.ok(ids.includes(id), id)
  })

  it('is a sentence in the Markdown too, after the findings and the matrix', () => {
    const text = summaryMarkdown(record(cells))
    const order = [
      'break consumers of go-driver',
      "1. **Data on the node's own disk**: Staging",
      '| failure | As it is | Health watched |',
      'Consumers exit changed nothing',
    ]
    assert.deepEqual(
      order.map((words) => text.indexOf(words)),
      order.map((words) => text.indexOf(words)).toSorted((a, b) => a - b),
    )
    assert.ok(text.indexOf('break consumers') > 0)
    assert.ok(text.includes('   - Nearest cure: With Health watched it is less: errors for a time, 4 of 4 consumers.\n'), text)
  })
})

describe('the Markdown of a run with a model', () => {
  it('says what did not come out as modelled, what did not run, and has the matrix', () => {
    const text = summaryMarkdown(SAMPLE)
    assert.ok(text.includes('87 cells ran, and 84 came out as the model says.\n'), text)
    assert.ok(text.includes('- Connection aborted, with: Session kept by keep: not run. there is no systemd here'))
    assert.ok(text.includes('| Plugin killed | all 10 stay broken | 5 of 10 stay broken |'))
    assert.ok(text.includes('| late-mount | as expected |'))
  })
})

describe('the findings about how the pods leave', () => {
  const torn = (failure: string, more: Partial<Teardown>, mitigation = 'as-is'): Cell => ({
    ...cell(failure, mitigation, {}),
    teardown: sampleTeardown(more),
  })
  const stuck = { calls: [failedCall('NodeUnpublishVolume', 'INTERNAL', 'directory not empty')] }
  const kept = { calls: [...sampleTeardown().calls.slice(0, 1), failedCall('NodeUnstageVolume', 'INTERNAL', 'not mounted')] }
  const left = {
    left: { mounts: ['9 1 0:74 / /var/lib/jfs rw - fuse.jfs jfs rw'], folders: [], holders: ['d[9] fd 5: connection 7'] },
  }
  const dead = { saw: 'ENOTCONN', watchedMs: 2700, wroteToNode: false, calls: [] }

  it('are none where each call succeeds, nothing is left and a new pod reads', () => {
    assert.deepEqual(found([torn('plugin-killed', {})]).findings, [])
    assert.deepEqual(found([cell('plugin-killed', 'as-is', {})]).findings, [])
  })

  it('are ordered by harm with those about consumers, each with its evidence', () => {
    const both = {
      ...cell('daemon-killed', 'as-is', { all: DEAD, 'starts-after': 'never-starts' }),
      teardown: sampleTeardown(stuck),
    }
    const { findings } = found([
      torn('plugin-upgraded', left),
      torn('plugin-killed', kept),
      both,
      torn('staging-unmounted', { newPod: dead }),
      torn('daemon-hung', { newPod: { ...dead, saw: 'wrong', wroteToNode: true } }),
    ])
    assert.deepEqual(
      findings.map(({ harm, failures, evidence }) => [harm, failures, ...evidence.map(({ text }) => text)]),
      [
        ['astray', ['daemon-hung'], 'its last read: wrong, 2.7 s after it was asked for'],
        ['new-pod-broken', ['staging-unmounted'], 'its last read: ENOTCONN, 2.7 s after it was asked for'],
        ['for-ever', ['daemon-killed'], 'reads that failed: 3,600 ENOTCONN; 1 consumer could not be started'],
        [
          'stuck',
          ['daemon-killed'],
          '1 of 2 calls; 4 attempts in 3.6 s for /var/lib/kubelet/pods/2/mount: INTERNAL: directory not empty',
        ],
        [
          'unstage-fails',
          ['plugin-killed'],
          '1 of 2 calls; 4 attempts in 3.6 s for /var/lib/kubelet/pods/2/mount: INTERNAL: not mounted',
        ],
        [
          'left-behind',
          ['plugin-upgraded'],
          'a mount of fuse.jfs at /var/lib/jfs; d[9] fd 5: connection 7, which is mounted nowhere',
        ],
      ],
    )
    assert.match(found([torn('daemon-hung', { newPod: { ...dead, wroteToNode: true } })]).sentences[2], /^Data goes astray after /)
  })

  it('have a new pod that writes to the disk of the node at first, though it reads right later', () => {
    const late = torn('daemon-killed', { newPod: { ...dead, saw: 'right', wroteToNode: true } })
    const [finding, ...others] = found([late]).findings
    assert.deepEqual([finding?.harm, finding?.failures, others], ['astray', ['daemon-killed'], []])
    assert.equal(
      finding?.what,
      "When all pods have left, a new pod writes to the node's own disk at first, and reads the volume right later.",
    )
    assert.equal(finding.evidence[0]?.text, 'its last read: right, 2.7 s after it was asked for')
    assert.match(found([late]).sentences[2], /^Data goes astray after /)
    assert.match(junit(record([late])), /name="daemon-killed: teardown" time="0\.900"><failure [^>]*type="astray"/)
  })

  it('are said once where it is the same without any failure, and name the mitigation without it', () => {
    const firstUse = torn('first-use', stuck)
    const all = driverFindings({ ...record([torn('plugin-killed', stuck), torn('daemon-hung', {})]), firstUse })?.findings ?? []
    assert.deepEqual(
      all.map(({ harm, failures }) => [harm, failures]),
      [['stuck', ['first-use']]],
    )
    assert.match(all[0]?.what ?? '', /^Without any failure: .* It is the same after 1 of the 2 failures tried\.$/)
    const xml = junit({ ...record([torn('plugin-killed', stuck)]), firstUse })
    assert.match(xml, /name="plugin-killed: teardown" time="0\.900"><skipped message="The same is wrong without any failure/)
    assert.match(xml, /name="first-use: teardown" time="0\.900"><failure /)
    // What a consumer of the first use says already is not said of its new pod again.
    const early = { ...cell('first-use', 'as-is', { all: ASTRAY }), teardown: sampleTeardown({ newPod: dead }) }
    const once = driverFindings({ ...record([torn('plugin-killed', { newPod: dead })]), firstUse: early })?.findings ?? []
    assert.deepEqual(
      once.map(({ harm, failures }) => [harm, failures]),
      [['astray', ['first-use']]],
    )
    // Consumers that got errors do not say of a new pod that its data went astray.
    const astray = torn('plugin-killed', { newPod: { ...dead, saw: 'right', wroteToNode: true } })
    const late = { ...cell('first-use', 'as-is', { all: BACK }), teardown: astray.teardown } as Cell
    assert.deepEqual(
      driverFindings({ ...record([astray]), firstUse: late })?.findings.map(({ harm, failures }) => [harm, failures]),
      [
        ['for-a-time', ['first-use']],
        ['astray', ['first-use']],
      ],
    )
    const cured = found([torn('plugin-killed', stuck), torn('plugin-killed', {}, 'health')]).findings[0]?.cure
    assert.match(cured ?? '', /^It does not happen with Health watched\. NodeUnpublishVolume unmounts /)
  })

  it('are a cure where new pods had it too, until the last one had left', () => {
    const cure = (seen: Parameters<typeof cell>[2], more: Partial<Teardown>): string => {
      const one = { ...cell('plugin-killed', 'as-is', seen), teardown: sampleTeardown(more) }
      const { findings } = found([one])
      return findings.find(({ harm }) => harm === harmOf(one))?.cure ?? ''
    }
    const leave = 'No mitigation was tried. Every pod of the node has to leave; the next one reads right.'
    assert.equal(cure({ all: DEAD }, {}), leave)
    assert.equal(cure({ all: DEAD }, stuck), 'No mitigation was tried.')
    assert.equal(cure({ all: DEAD }, { newPod: dead }), 'No mitigation was tried.')
    assert.equal(cure({ all: DEAD }, { newPod: { ...dead, saw: 'right', wroteToNode: true } }), 'No mitigation was tried.')
    assert.equal(cure({ all: DEAD, 'starts-after': 'works', 'exits-on-error': 'restarted' }, {}), 'No mitigation was tried.')
    assert.equal(cure({ 'starts-after': ASTRAY }, {}), leave)
  })

  it('are on the page, in JUnit’s XML, and in the comparison of two runs', () => {
    const [bad, good] = [record([torn('plugin-killed', stuck)]), record([torn('plugin-killed', {})])]
    assert.match(
      junit(bad),
      /name="plugin-killed: teardown" time="0\.900"><failure message="NodeUnpublishVolume fails [^>]*type="stuck"/,
    )
    assert.match(junit(good), /name="plugin-killed: teardown" time="0\.900"><system-out>Each call succeeds, nothing is left, and /)
    const page = renderReport(bad)
    assert.ok(page.includes('Stuck in Terminating') && page.includes('INTERNAL: directory not empty'))
    const sides = [good, bad].map((one, index) => ({ file: `${index}.json`, record: one })) as [Side, Side]
    const comparison = compareRecords(...sides)
    assert.ok(anythingWorse(comparison) && anythingDifferent(comparison))
    assert.match(
      comparisonMarkdown(comparison),
      /^\| Plugin killed \| As it is \| worse \| Each call succeeds, .* \| NodeUnpublishVolume fails /m,
    )
    assert.ok(comparisonPage(comparison).includes('When every pod leaves'))
    assert.ok(!anythingWorse(compareRecords(sides[1], sides[0])))
  })
})
