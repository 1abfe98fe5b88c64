import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { composeRecord } from '../../src/lab/matrix/compose.ts'
import { CATALOGUE, plan } from '../../src/lab/matrix/plan.ts'
import type { Cell, LabRecord, Verdict } from '../../src/lab/matrix/lab-record.ts'
import { notRun } from '../../src/lab/matrix/run-cells.ts'
import { ROOT } from '../support/paths.ts'
import { schemaOf } from '../support/type-check.ts'

const FILE = 'src/lab/matrix/lab-record.ts'
const problemsWith = schemaOf(FILE, 'LabRecord')

function cell(verdict: Verdict): Cell {
  const [planned] = plan({ failures: ['plugin-killed'], mitigations: ['none'], consumers: [] }).cells
  if (planned === undefined) throw new Error('no such cell')
  return { ...notRun(planned, 'because', '2026-01-01T00:00:00.000Z', 1), verdict }
}

function record(cells: readonly Cell[], complete = true): LabRecord {
  return composeRecord({
    tool: { name: 'dummy-fuse-csi', version: '1.0.0', commit: 'abc' },
    driver: 'dummy-fuse-csi',
    node: { kernel: '6.18', systemd: 'none', cpus: 2 },
    ...{ startedAt: '2026-01-01T00:00:00.000Z', tookMs: 1, jobs: 2, seed: 1 },
    catalogue: CATALOGUE,
    ...{ complete, cells, absent: [], scenarios: [] },
  })
}

describe("the lab's record", () => {
  it('is what its types say', () => {
    assert.deepEqual(problemsWith(JSON.parse(JSON.stringify(record([cell('not-run')])))), [])
  })

  const BROKEN: { name: string; change: (value: Record<string, unknown>) => void; problem: RegExp }[] = [
    { name: 'a version that is another', change: (value) => (value.version = 1), problem: /^\$\.version: 1 is not 6$/ },
    { name: 'a part that is missing', change: (value) => delete value.cells, problem: /^\$\.cells is missing$/ },
    { name: 'a part too many', change: (value) => (value.more = 1), problem: /^\$\.more is not in the schema$/ },
    {
      name: 'a verdict that there is not',
      change: (value) => (value.cells = [{ ...cell('worse'), verdict: 'bad' }]),
      problem: /^\$\.cells\[0\]\.verdict: "bad" is not/,
    },
    { name: 'a time that is none', change: (value) => (value.tookMs = '1'), problem: /^\$\.tookMs: "1" is no number$/ },
  ]
  for (const { name, change, problem } of BROKEN) {
    it(`is told from one with ${name}`, () => {
      const value = JSON.parse(JSON.stringify(record([cell('not-run')]))) as Record<string, unknown>
      change(value)
      const [first = 'nothing', ...rest] = problemsWith(value)
      assert.match(first, problem)
      assert.deepEqual(rest, [])
    })
  }

  it('says so only where not all that was chosen has begun', () => {
    assert.ok(!('complete' in record([cell('not-run')])))
    const ended = record([cell('measured')], false)
    assert.equal(ended.complete, false)
    assert.deepEqual(problemsWith(JSON.parse(JSON.stringify(ended))), [])
  })

  it('has passed only if everything ran and came out as modelled', () => {
    assert.equal(record([cell('as-modelled'), cell('measured')]).passed, true)
    for (const verdict of ['better', 'worse', 'different', 'not-run'] as const) {
      assert.equal(record([cell('as-modelled'), cell(verdict)]).passed, false, verdict)
    }
    assert.equal(record([cell('as-modelled')], false).passed, false)
  })

  it('is documented to its last property', () => {
    const page = readFileSync(join(ROOT, 'docs/lab-record.md'), 'utf8')
    const source = readFileSync(join(ROOT, FILE), 'utf8')
    const names = [...source.matchAll(/^ +readonly (\w+)\??:/gm)].map(([, name]) => name)
    assert.ok(names.length > 50)
    assert.deepEqual(
      names.filter((name) => !page.includes(`\`${name}\``)),
      [],
    )
  })
})
