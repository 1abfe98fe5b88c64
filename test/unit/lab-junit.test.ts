import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, it } from 'node:test'
import type { Cell, LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { junit } from '../../src/lab/report/junit.ts'
import { sampleRecord } from '../fixtures/lab-record.ts'

interface Element {
  readonly tag: string
  readonly attributes: Readonly<Record<string, string>>
  readonly text: string
  readonly children: readonly Element[]
}

/** Expat refuses whatever is not well-formed XML 1.0, characters that it does not allow too. */
const PARSE = `
import json, sys
from xml.etree import ElementTree
def value(one):
    return {'tag': one.tag, 'attributes': one.attrib, 'text': one.text or '', 'children': [value(child) for child in one]}
print(json.dumps(value(ElementTree.fromstring(sys.stdin.buffer.read()))))
`

function parsed(text: string): Element {
  const { status, stdout, stderr } = spawnSync('python3', ['-c', PARSE], { input: text, encoding: 'utf8', maxBuffer: 1 << 28 })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout) as Element
}

/** What viewers read (junit-10.xsd of Jenkins's xunit plugin): attributes, those that must be there, and children in their order. */
const SCHEMA: Readonly<Record<string, { must: readonly string[]; may?: readonly string[]; children?: readonly string[] }>> = {
  testsuites: { must: ['name', 'tests', 'failures', 'errors', 'time'], children: ['testsuite'] },
  testsuite: {
    must: ['name', 'tests', 'failures', 'errors', 'skipped', 'time', 'timestamp'],
    children: ['properties', 'testcase'],
  },
  properties: { must: [], children: ['property'] },
  property: { must: ['name', 'value'] },
  testcase: { must: ['classname', 'name', 'time'], children: ['skipped', 'error', 'failure', 'system-out'] },
  failure: { must: ['message', 'type'] },
  error: { must: ['message'] },
  skipped: { must: ['message'] },
  'system-out': { must: [] },
}

const FORMS: Readonly<Record<string, RegExp>> = {
  tests: /^\d+$/,
  failures: /^\d+$/,
  errors: /^\d+$/,
  skipped: /^\d+$/,
  time: /^\d+\.\d{3}$/,
  timestamp: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/,
}

function check({ tag, attributes, children }: Element): void {
  const schema = SCHEMA[tag]
  assert.ok(schema !== undefined, `there is no <${tag}>`)
  assert.deepEqual(Object.keys(attributes).sort(), [...schema.must].sort(), tag)
  for (const [name, value] of Object.entries(attributes)) assert.match(value, FORMS[name] ?? /./, `${tag} ${name}`)
  const places = children.map((child) => schema.children?.indexOf(child.tag) ?? -1)
  assert.ok(!places.includes(-1), `${tag}: ${children.map((child) => child.tag).join()}`)
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  )
  for (const child of children) check(child)
}

/** Checks everything and returns the suites; the numbers must be those of what is there. */
function suitesOf(record: LabRecord): readonly Element[] {
  const root = parsed(junit(record))
  assert.equal(root.tag, 'testsuites')
  check(root)
  const numbers = (cases: readonly Element[], attributes: Element['attributes']): void => {
    const having = (tag: string): string => String(cases.filter(({ children }) => children.some((one) => one.tag === tag)).length)
    assert.equal(attributes.tests, String(cases.length))
    assert.equal(attributes.failures, having('failure'))
    assert.equal(attributes.errors, having('error'))
    if (attributes.skipped !== undefined) assert.equal(attributes.skipped, having('skipped'))
    const sum = cases.reduce((all, one) => all + Number(one.attributes.time), 0)
    assert.ok(Math.abs(sum - Number(attributes.time)) < 0.001 * cases.length + 0.001, `${sum} ${attributes.time ?? ''}`)
  }
  for (const suite of root.children) numbers(casesOf(suite), suite.attributes)
  const all = root.children.flatMap(casesOf)
  numbers(all, root.attributes)
  const names = all.map(({ attributes: { classname, name } }) => `${classname ?? ''} ${name ?? ''}`)
  assert.equal(new Set(names).size, names.length)
  return root.children
}

function casesOf(suite: Element): readonly Element[] {
  return suite.children.filter(({ tag }) => tag === 'testcase')
}

function caseOf(suites: readonly Element[], suite: string, name: string): Element {
  const found = suites
    .filter(({ attributes }) => attributes.name === suite)
    .flatMap(casesOf)
    .find(({ attributes }) => attributes.name === name)
  assert.ok(found !== undefined, `no ${name} in ${suite}`)
  return found
}

function resultOf({ children }: Element): readonly (string | undefined)[] {
  return children.flatMap(({ tag, attributes }) => [tag, ...Object.values(attributes)])
}

const SAMPLE = sampleRecord({ lines: 4 })

describe("a run in JUnit's XML", () => {
  const suites = suitesOf(SAMPLE)

  it('has a suite for each mitigation and one for the scenarios, and a test for each consumer of each failure', () => {
    assert.deepEqual(
      suites.map(({ attributes }) => attributes.name),
      [...Object.keys(SAMPLE.catalogue.mitigations), 'scenarios'],
    )
    const results = SAMPLE.cells.reduce((sum, { consumers }) => sum + Math.max(consumers.length, 1), 0)
    const matrix = suites.slice(0, -1).flatMap(casesOf)
    // One cell differs from the model in another thing than its consumers.
    assert.equal(matrix.length, results + 1)
    assert.equal(caseOf(suites, 'systemd', 'plugin-killed: cwd').attributes.classname, 'dummy-fuse-csi.systemd')
    const [systemd] = suites.filter(({ attributes }) => attributes.name === 'systemd')
    assert.deepEqual(
      systemd?.children[0]?.children.map(({ attributes }) => attributes.name),
      ['driver', 'lab', 'kernel', 'systemd'],
    )
  })

  it('fails where the model says otherwise, says what was seen, and passes elsewhere, whatever was seen', () => {
    const odd = caseOf(suites, 'health', 'daemon-hung: exits-on-error')
    assert.deepEqual(resultOf(odd), ['failure', 'hangs, not works after its restart', 'hangs'])
    assert.match(odd.children[0]?.text ?? '', /^hangs: A read did not return\.\nReads: 212 right, 0 wrong, 1 HUNG\./)
    const modelled = caseOf(suites, 'none', 'plugin-killed: cwd')
    assert.deepEqual(resultOf(modelled), ['system-out'])
    assert.match(
      modelled.children[0]?.text ?? '',
      /^errors for ever: .*\n.*1204 ENOTCONN.*\n.*Right again after: never\.\nThe model: /,
    )
  })

  it('skips a cell that did not run, with its reason', () => {
    const skipped = caseOf(suites, 'keeper', 'connection-aborted')
    assert.deepEqual(resultOf(skipped), ['skipped', 'there is no systemd here that could keep the session'])
  })

  it('has the checks of each scenario, and an error for one that was broken off', () => {
    assert.deepEqual(resultOf(caseOf(suites, 'scenarios', 'late-mount: the target has two file systems')), [])
    const broken = caseOf(suites, 'scenarios', 'mount-fails-in-the-background')
    assert.deepEqual(resultOf(broken), ['error', 'the lab was told to end'])
    const [one] = SAMPLE.scenarios
    assert.ok(one !== undefined)
    const failed = { ...one, outcome: 'not as expected' as const, checks: [{ name: 'a', expected: '2', seen: '1', passed: false }] }
    const again = suitesOf({ ...SAMPLE, scenarios: [failed] })
    assert.deepEqual(resultOf(caseOf(again, 'scenarios', 'late-mount: a')), ['failure', '1, not 2', 'check'])
  })

  it('fails for a cell whose consumers came out as modelled, and in which something else did not', () => {
    const cells = SAMPLE.cells.map((cell): Cell => {
      if (cell.failure !== 'plugin-killed' || cell.mitigation !== 'none') return cell
      return { ...cell, verdict: 'worse', why: 'a volume that was unpublished is mounted again' }
    })
    const there = caseOf(suitesOf({ ...SAMPLE, cells }), 'none', 'plugin-killed: node')
    assert.deepEqual(resultOf(there), ['failure', 'a volume that was unpublished is mounted again', 'worse'])
  })

  it('says so where the run was ended before everything had run', () => {
    const cells = SAMPLE.cells.filter(({ verdict }) => verdict === 'as-modelled')
    // Those of the sample failed in part, and were skipped.
    for (const record of [{ ...SAMPLE, cells, scenarios: [] }, SAMPLE, { ...SAMPLE, driver: 'd', cells: [], scenarios: [] }])
      assert.deepEqual(resultOf(caseOf(suitesOf({ ...record, complete: false }), 'run', 'complete')), [
        'error',
        'the run was ended before everything had run',
      ])
    const whole = suitesOf({ ...SAMPLE, cells, scenarios: [], passed: true })
    assert.ok(
      whole.every(({ attributes }) => attributes.name !== 'run' && attributes.errors === '0' && attributes.failures === '0'),
    )
  })
})

describe("another driver's run in JUnit's XML", () => {
  const cells = SAMPLE.cells.map((cell): Cell => (cell.verdict === 'not-run' ? cell : { ...cell, verdict: 'measured' }))
  const suites = suitesOf({ ...SAMPLE, driver: 'csi.example.com', passed: true, cells })

  for (const [mitigation, name, expected] of [
    ['none', 'plugin-killed: cwd', ['failure', 'errors for ever', 'errors']],
    ['none', 'mount-late: cwd', ['failure', "node's own disk, could write to the node's own disk", 'writes-to-host']],
    [
      'none',
      'mount-late: mapped',
      ['failure', "node's disk, then works, could write to the node's own disk", 'writes-to-host-recovers'],
    ],
    ['restore', 'plugin-killed: opens-anew', ['system-out']],
    ['systemd', 'plugin-killed: cwd', ['system-out']],
  ] as const) {
    it(`has no model: ${name} under ${mitigation} is ${expected[0] === 'failure' ? 'a failure' : 'passed'}`, () => {
      const one = caseOf(suites, mitigation, name)
      assert.equal(one.attributes.classname, `csi.example.com.${mitigation}`)
      assert.deepEqual(resultOf(one), expected)
    })
  }

  it('has what is undecided skipped, after the time for which it was watched', () => {
    const open = cells.map((cell): Cell => {
      const consumers = cell.consumers.map((one) =>
        one.consumer === 'cwd' ? { ...one, seen: 'undecided' as const, wroteToNode: false } : one,
      )
      return { ...cell, consumers }
    })
    const one = caseOf(suitesOf({ ...SAMPLE, driver: 'd', passed: true, cells: open }), 'none', 'plugin-killed: cwd')
    assert.deepEqual(
      one.children.map(({ tag, attributes }) => [tag, attributes.message]),
      [
        ['skipped', 'undecided after 2.5 s'],
        ['system-out', undefined],
      ],
    )
  })

  it('is an error where no cell could run', () => {
    const none = cells.map((cell): Cell => ({ ...cell, verdict: 'not-run', why: 'the plugin does not start', consumers: [] }))
    const all = suitesOf({ ...SAMPLE, scenarios: [], cells: none }).flatMap(casesOf)
    assert.equal(all.length, cells.length)
    for (const one of all) assert.deepEqual(resultOf(one), ['error', 'the plugin does not start'])
  })

  it('is well-formed whatever its names and messages hold', () => {
    const text = `<a b="c">&amp;]]>--> \u0000\u001b[31m\u202e\ufffe\uffff\ud800 😀\n'"`
    assert.ok(suitesOf(sampleRecord({ lines: 1, text })).length > 0)
    assert.ok(junit(sampleRecord({ lines: 1, text })).includes('␀'))
  })
})
