import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { planFirstUse, withoutUnready } from '../../src/lab/driver/first-use.ts'
import { cureTrial, watchedForItsNeed } from '../../src/lab/driver/need.ts'
import { driverCatalogue, planDriver } from '../../src/lab/driver/matrix.ts'
import { parseDriver } from '../../src/lab/driver/parse.ts'
import type { DriverSeen } from '../../src/lab/driver/seen.ts'
import type { Cell, ConsumerResult, LabRecord, OutcomeId } from '../../src/lab/matrix/lab-record.ts'
import { parseRecord } from '../../src/lab/matrix/parse-record.ts'
import { CATALOGUE } from '../../src/lab/matrix/plan.ts'
import { compareRecords } from '../../src/lab/report/comparison.ts'
import { driverFindings } from '../../src/lab/report/findings.ts'
import { junit } from '../../src/lab/report/junit.ts'
import { renderReport } from '../../src/lab/report/report.ts'
import { sampleRecord } from '../fixtures/lab-record.ts'

const SAMPLE = sampleRecord({ lines: 4 })
const [CELL] = SAMPLE.cells
const [RESULT] = CELL?.consumers ?? []

const FILE = { name: 'd', start: ['/bin/d'], fuse: false, volume: { id: 'v', staged: false }, file: 'f', content: 'c' }
const DRIVER = parseDriver(JSON.stringify(FILE), 'driver.yaml')

const PLAN = planDriver(DRIVER, {
  failures: ['plugin-killed', 'target-unmounted'],
  mitigations: ['as-is', 'host-to-container'],
  consumers: ['opens-anew', 'private', 'starts-after'],
})
const FIRST = planFirstUse(PLAN.cells)

/** A first use in which these consumers came to this, and all else to `works`. */
function firstUse(seen: Readonly<Record<string, OutcomeId>>, change: Partial<Cell> = {}): Cell {
  assert.ok(CELL !== undefined && RESULT !== undefined && FIRST !== undefined)
  const consumers = Object.keys(FIRST.consumers).map((consumer): ConsumerResult => {
    const outcome = seen[consumer] ?? 'works'
    const bad = outcome.startsWith('writes-to-host')
    const reads = { right: 9, wrong: 0, failed: bad ? { ENOENT: 5 } : {} }
    const times = { longestStallMs: 3, firstRightAfterFailureMs: outcome === 'works' ? 4 : 4500, watchedMs: 5000 }
    return { ...RESULT, consumer, seen: outcome, expected: outcome, wroteToNode: bad, restarts: 0, reads, ...times }
  })
  const disk = consumers.filter(({ wroteToNode }) => wroteToNode).map(({ consumer }) => `/var/lib/kubelet/pods/${consumer}/written`)
  const evidence = { ...CELL.evidence, mountsAfter: [], disk }
  const cell = {
    ...CELL,
    failure: 'first-use',
    mitigation: 'as-is',
    verdict: 'measured' as const,
    failureAtMs: 1000,
    mendedAtMs: 1000,
  }
  return { ...cell, consumers, evidence, ...change }
}

function left(seen: Cell): Readonly<Record<string, readonly string[]>> {
  assert.ok(FIRST !== undefined)
  const { cells } = withoutUnready(PLAN, FIRST, seen)
  return Object.fromEntries(cells.map((cell) => [`${cell.failure.id} ${cell.mitigation.id}`, Object.keys(cell.consumers)]))
}

describe('the plan after the first use', () => {
  it('is of the first mitigation, with each of its consumers', () => {
    assert.ok(FIRST !== undefined)
    assert.deepEqual([FIRST.failure.id, FIRST.mitigation.id], ['first-use', 'as-is'])
    assert.deepEqual(FIRST.consumers, { 'opens-anew': null, private: null, 'starts-after': null })
    assert.equal(planFirstUse([]), undefined)
  })

  it('is as it was where all read right', () => {
    assert.ok(FIRST !== undefined)
    assert.deepEqual(withoutUnready(PLAN, FIRST, firstUse({})), PLAN)
  })

  it('is without those that did not come to read right, unless they live in another way', () => {
    const all = ['opens-anew', 'private', 'starts-after']
    for (const outcome of ['writes-to-host', 'errors', 'hangs', 'never-starts', 'undecided'] as const)
      assert.deepEqual(left(firstUse({ private: outcome })), {
        'plugin-killed as-is': ['opens-anew', 'starts-after'],
        'plugin-killed host-to-container': all,
        'target-unmounted as-is': ['opens-anew', 'starts-after'],
        'target-unmounted host-to-container': all,
      })
  })

  it('keeps those that read right after a time, but for those that would start so again', () => {
    const late = firstUse({ private: 'writes-to-host-recovers', 'starts-after': 'writes-to-host-recovers' })
    for (const consumers of Object.values(left(late))) assert.deepEqual(consumers, ['opens-anew', 'private'])
  })

  it('has what it left out with its reason', () => {
    assert.ok(FIRST !== undefined)
    const plan = { ...PLAN, cells: PLAN.cells.filter(({ mitigation }) => mitigation.id === 'as-is') }
    const none = firstUse({ 'opens-anew': 'writes-to-host', private: 'writes-to-host', 'starts-after': 'writes-to-host' })
    const { cells, absent } = withoutUnready(plan, FIRST, none)
    assert.deepEqual(cells, [])
    const reason = 'It does not read right from the beginning without any failure: see the first use.'
    assert.deepEqual(absent.slice(PLAN.absent.length), [
      { failure: 'plugin-killed', mitigation: 'as-is', reason },
      { failure: 'target-unmounted', mitigation: 'as-is', reason },
    ])
  })

  it('begins with the cells that show how long a cure takes: one of each thing that can be struck, with the first mitigation', () => {
    const helper = (name: string, storage: boolean): object => ({ name, command: ['/bin/h'], belongs: 'node', storage })
    const helped = { ...FILE, helpers: [helper('h', false), helper('s', true)] }
    const driver = parseDriver(JSON.stringify(helped), 'driver.yaml')
    const trial = (...failures: readonly string[]): readonly string[] => {
      const { cells } = planDriver(driver, { failures, mitigations: ['as-is', 'host-to-container'], consumers: [] })
      return cureTrial(cells).map(({ failure, mitigation }) => `${failure.id} ${mitigation.id}`)
    }
    const each = ['daemon-killed', 'target-unmounted', 'holder-killed', 'helper-killed', 'storage-down', 'all-pods-replaced']
    assert.deepEqual(
      trial(),
      each.map((failure) => `${failure} as-is`),
    )
    for (const failure of [...each, 'storage-hung', 'pod-replaced']) assert.deepEqual(trial(failure), [`${failure} as-is`])
    assert.deepEqual(trial('plugin-killed', 'connection-aborted', 'machine-crash'), ['connection-aborted as-is'])
    assert.deepEqual(trial('out-of-descriptors'), [])
  })

  it('has a driver watched for as long as it was seen to need, unless its file says how long', () => {
    const late = firstUse({ 'opens-anew': 'writes-to-host-recovers' })
    const shown = (tookMs: number): Pick<DriverSeen, 'steps'> => ({
      steps: ['NodeStageVolume', 'NodePublishVolume', 'NodeUnpublishVolume'].map((name) => ({
        name,
        tookMs,
        attempts: 1,
        late: 0,
        failure: undefined,
      })),
    })
    assert.equal(watchedForItsNeed(DRIVER, shown(100), []).watch, 2000)
    assert.equal(watchedForItsNeed(DRIVER, shown(1550), [firstUse({})]).watch, 3100)
    assert.equal(watchedForItsNeed(DRIVER, shown(100), [late]).watch, 9000)
    const given = parseDriver(JSON.stringify({ ...FILE, watch: 3 }), 'driver.yaml')
    assert.equal(watchedForItsNeed(given, shown(9000), [late]).watch, 3000)
  })
})

describe('the report of a first use', () => {
  const MOUNTED = '90 30 0:50 / /var/lib/kubelet/pods/uid/volumes/kubernetes.io~csi/driver-pv/mount rw - ext4 /dev/sda rw'
  const early = firstUse(
    { private: 'writes-to-host', 'opens-anew': 'writes-to-host-recovers' },
    { evidence: { ...firstUse({ private: 'writes-to-host' }).evidence, mountsAfter: [MOUNTED] } },
  )

  function record(seen: Cell | undefined, cells: readonly Cell[]): LabRecord {
    const rest = { ...SAMPLE, driver: 'd', catalogue: driverCatalogue(CATALOGUE), cells, absent: [], scenarios: [], passed: true }
    return seen === undefined ? rest : { ...rest, firstUse: seen }
  }
  assert.ok(CELL !== undefined)
  const killed = { ...firstUse({}), failure: 'plugin-killed' }

  it('is its first finding, and a failure is not blamed for it', () => {
    const found = driverFindings(record(early, [{ ...killed, consumers: killed.consumers.slice(0, 1) }]))
    assert.ok(found !== undefined)
    assert.deepEqual(
      found.findings.map(({ failures, harm }) => [failures, harm]),
      [[['first-use'], 'astray']],
    )
    assert.match(
      found.findings[0]?.what ?? '',
      /^Without any failure, NodePublishVolume answers OK before the volume is mounted \(early return, as in blobfuse2 #1079\)\. 2 of 3 consumers \(.*\) see the wrong disk\. It lasted to the end\. The lab watched each of them for 5 s or longer\.$/,
    )
    assert.match(found.findings[0]?.evidence[0]?.text ?? '', /^on the node's disk: \/var\/lib\/kubelet\/pods\/private\/written; /)
    assert.equal(found.sentences[0], 'No consumer of d broke for good in the 1 failure tried.')
    assert.match(found.sentences[2], /^Data goes astray with First use: 2 consumers /)
    assert.deepEqual(found.unnoticed, ['plugin-killed'])
  })

  it('is all that there is of a driver that never mounts', () => {
    const never = firstUse({ 'opens-anew': 'writes-to-host', private: 'writes-to-host', 'starts-after': 'writes-to-host' })
    const none = record(never, [])
    const found = driverFindings(none)
    assert.ok(found !== undefined)
    assert.equal(found.sentences[0], 'No failure was tried with d, because no consumer reads right before one.')
    assert.match(
      found.findings[0]?.what ?? '',
      /^Without any failure, NodePublishVolume answers OK and nothing is mounted \(as in blobfuse2 #1081\)\./,
    )
    const page = renderReport(none)
    assert.ok(page.includes('id="c-first-use--as-is"'))
    const ids = [...page.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id)
    assert.equal(new Set(ids).size, ids.length)
    for (const [, id] of page.matchAll(/\shref="#([^"]*)"/g)) assert.ok(ids.includes(id), id)
  })

  it('says nothing where all read right', () => {
    assert.deepEqual(driverFindings(record(firstUse({}), [killed]))?.findings, [])
    assert.ok(!junit(record(firstUse({}), [killed])).includes('first-use'))
  })

  it("is a suite of JUnit's file, and is compared", () => {
    assert.match(junit(record(early, [killed])), /<testsuite name="first-use" tests="3" failures="2" /)
    const { differences, onlyB } = compareRecords(
      { file: 'a', record: record(early, []) },
      { file: 'b', record: record(firstUse({}), [killed]) },
    )
    assert.deepEqual(
      differences.map(({ failure, change, a }) => [failure, change, a.length]),
      [
        ['first-use', 'better', 1],
        ['first-use', 'better', 1],
      ],
    )
    assert.deepEqual(
      onlyB.map(({ failure }) => failure),
      ['plugin-killed'],
    )
  })

  it('is read again as it was written', () => {
    const value = record({ ...early, unready: ['cwd'] }, [killed])
    assert.deepEqual(parseRecord(JSON.stringify(value), 'a.json').firstUse, JSON.parse(JSON.stringify(value.firstUse)))
  })
})
