import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Cell, LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { LOSING } from '../../src/lab/matrix/outcomes.ts'
import { adviceFrom } from '../../src/lab/report/advice.ts'
import { EFFECTS, effectOf, fully, shortly, worstOf } from '../../src/lab/report/effects.ts'
import { renderReport } from '../../src/lab/report/report.ts'
import { sampleRecord } from '../fixtures/lab-record.ts'

const SAMPLE = sampleRecord({ lines: 4 })

function only(choose: (cell: Cell) => boolean): LabRecord {
  return { ...SAMPLE, cells: SAMPLE.cells.filter(choose) }
}

function cell(failure: string, mitigation: string): Cell {
  const found = SAMPLE.cells.find((one) => one.failure === failure && one.mitigation === mitigation)
  assert.ok(found !== undefined)
  return found
}

/** What a reader sees, tags apart. */
function textOf(page: string): string {
  return page
    .replaceAll(/<(style|script)>.*?<\/\1>/gs, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
}

/** The part of the page that tells how far failures reach. */
function reachOf(page: string): string {
  const start = page.indexOf('id="reach"')
  return page.slice(start, page.indexOf('</section>', start))
}

describe("the report's sample", () => {
  it('has every verdict, every kind of event, and every outcome and effect of a reader', () => {
    const events = SAMPLE.cells.flatMap((one) => one.events)
    const results = SAMPLE.cells.flatMap(({ consumers }) => consumers)
    assert.deepEqual([...new Set(SAMPLE.cells.map(({ verdict }) => verdict))].sort(), [
      'as-modelled',
      'better',
      'different',
      'measured',
      'not-run',
      'worse',
    ])
    assert.equal(new Set(events.map(({ kind }) => kind)).size, 10)
    // Nobody writes to the volumes of our own plugin.
    const outcomes = Object.keys(SAMPLE.catalogue.outcomes).filter((id) => !LOSING.some((one) => one === id))
    assert.deepEqual([...new Set(results.map(({ seen }) => seen))].sort(), outcomes.sort())
    assert.deepEqual([...new Set([...results.map(effectOf), 'lost'])].sort(), Object.keys(EFFECTS).sort())
  })
})

describe('a cell in a few words', () => {
  for (const [failure, mitigation, words, effect] of [
    ['plugin-killed', 'systemd', 'all 10 keep working', 'kept'],
    ['daemon-upgraded', 'systemd', '1 of 10 wait, then work', 'waited'],
    ['plugin-killed', 'restore-exit', '8 of 10 get errors, then work', 'recovered'],
    ['plugin-killed', 'restore', '5 of 10 stay broken', 'broken'],
    ['mount-late', 'none', 'all 10 see the wrong disk', 'wrong'],
    ['connection-aborted', 'keeper', 'not run', undefined],
  ] as const) {
    it(`is its worst effect: ${failure} with ${mitigation}: ${words}`, () => {
      assert.equal(shortly(cell(failure, mitigation)).join(' ').trim(), words)
      assert.equal(worstOf(cell(failure, mitigation)), effect)
    })
  }

  it('does not hide those that stay broken behind one that sees the wrong disk', () => {
    const before = cell('plugin-killed', 'restore')
    const consumers = before.consumers.map((one, index) =>
      index === 1 ? { ...one, seen: 'writes-to-host-recovers' as const, wroteToNode: true } : one,
    )
    assert.deepEqual(shortly({ ...before, consumers }), ['1 of 10', 'see the wrong disk, 5 stay broken'])
  })

  it('takes the bare folder for a passing error where nothing could be written there', () => {
    const [one] = cell('mount-late', 'none').consumers
    assert.ok(one !== undefined)
    assert.equal(effectOf({ ...one, seen: 'writes-to-host-recovers', wroteToNode: false }), 'recovered')
  })

  it('in a sentence names each effect, and the few that had it', () => {
    assert.equal(
      fully(cell('plugin-killed', 'restore-exit'), SAMPLE),
      '1 keeps working (Starts after the failure), 1 waits, then works (Starts during the failure) and 8 get errors, then work. The longest that a read took: 1.4 s.',
    )
    assert.equal(
      fully(cell('connection-aborted', 'keeper'), SAMPLE),
      'Not run: there is no systemd here that could keep the session.',
    )
  })
})

describe('the advice', () => {
  it('is the mitigation that covers the most failures without an error, not one that covers all of the few it is for', () => {
    const { best, scores } = adviceFrom(SAMPLE)
    assert.deepEqual(best, ['systemd', 'keeper'])
    assert.deepEqual(
      scores.map((one) => [one.mitigation, one.withoutError, one.tried]),
      [
        ['none', 1, 12],
        ['restore', 2, 10],
        ['restore-exit', 2, 10],
        ['detached', 5, 10],
        ['systemd', 8, 10],
        ['keeper', 8, 9],
        ['waiting-parent', 1, 2],
        ['sync-init', 1, 2],
        ['health', 1, 12],
        ['propagation', 2, 10],
      ],
    )
  })

  it('compares two that lead on the failures that were tried with both', () => {
    const without = (failure: string): readonly string[] =>
      adviceFrom(only((one) => one.failure !== failure || one.mitigation !== 'systemd')).best
    assert.deepEqual(without('no-descriptors'), ['systemd', 'keeper'])
    assert.deepEqual(without('plugin-killed'), ['keeper'])
  })

  it('names for each failure that it leaves what helps, or else what makes the least of it', () => {
    assert.deepEqual(adviceFrom(SAMPLE).gaps, [
      { failures: ['mount-fails'], least: 'broken', by: ['waiting-parent', 'sync-init', 'health'], most: 'wrong' },
      { failures: ['mount-late'], least: 'waited', by: ['waiting-parent', 'sync-init'], most: 'wrong' },
      {
        failures: ['no-descriptors'],
        least: 'recovered',
        by: ['none', 'restore', 'restore-exit', 'detached', 'systemd', 'keeper', 'health', 'propagation'],
        most: 'recovered',
      },
      { failures: ['connection-aborted'], least: 'recovered', by: ['restore-exit', 'health'], most: 'broken' },
    ])
  })

  it('compares no failure that only one mitigation was tried with', () => {
    const [plain, other] = ['restore', 'keeper'].map((mitigation) => cell('plugin-killed', mitigation)) as [Cell, Cell]
    const own = { ...other, failure: 'connection-aborted' }
    const cells = [{ ...other, mitigation: 'restore' }, other, own]
    assert.deepEqual(adviceFrom({ ...SAMPLE, cells }).best, ['restore', 'keeper'])
    assert.deepEqual(adviceFrom({ ...SAMPLE, cells: [own] }).best, ['keeper'])
    const broken = { ...plain, failure: 'connection-aborted' }
    assert.deepEqual(adviceFrom({ ...SAMPLE, cells: [plain, other, broken] }).gaps, [])
  })

  it('is to pick nothing where nothing was without an error', () => {
    assert.deepEqual(adviceFrom(only(({ failure, mitigation }) => failure === 'plugin-killed' && mitigation === 'none')).best, [])
  })
})

describe('the report', () => {
  it('says in its first sentences what to pick, what that leaves open, and how it would be without', () => {
    const text = textOf(renderReport(SAMPLE))
    for (const words of [
      'Session kept by systemd or Session kept by keep did best: each of them kept every consumer free of errors in 8 failures tried.',
      'With nothing done, 1 of 12 went without an error.',
      'Pick: Session kept by systemd or Session kept by keep.',
      'Mount lands late : add Waiting parent or Synchronous INIT.',
      'Connection aborted : with Restore, consumers restart or Health watched, consumers get errors for a time, then work.',
      'Mount fails in the background : nothing makes it work, but with Waiting parent, Synchronous INIT or Health watched consumers get errors and do not see the wrong disk.',
      'Out of descriptors : consumers get errors under every mitigation, and recover.',
    ]) {
      assert.ok(text.includes(words), words)
    }
  })

  it('leads to the cells that did not come out as foreseen, and tells what was not run and why', () => {
    const whole = renderReport(SAMPLE)
    const page = whole.replace(reachOf(whole), '')
    const text = textOf(page)
    assert.ok(
      text.includes('87 cells ran; 83 of 86 came out as the lab&#39;s model says they must. 1 cell could not be run.'),
      text,
    )
    for (const id of [
      'daemon-hung--health',
      'no-descriptors--systemd',
      'staging-unmounted--health',
      'connection-aborted--keeper',
    ]) {
      assert.equal(page.split(`href="#c-${id}"`).length, 3, id)
    }
    assert.ok(text.includes('there is no systemd here that could keep the session'))
  })

  it('tells what another volume noticed of each failure, and points to the cells where that differs', () => {
    const section = reachOf(renderReport(SAMPLE))
    const text = textOf(section)
    assert.ok(text.includes('FUSE daemon killed keeps working under each mitigation that was tried'), text)
    assert.ok(
      text.includes(
        'Plugin killed keeps working Separate FUSE process ; Session kept by systemd ; Session kept by keep errors, then works',
      ),
      text,
    )
    assert.ok(text.includes('Connection aborted keeps working under each mitigation that was tried'), text)
    assert.ok(section.includes('href="#c-plugin-killed--none"'))
  })

  it('does not tell of another volume where nobody read one', () => {
    const cells = SAMPLE.cells.map((one) => ({
      ...one,
      consumers: one.consumers.filter(({ consumer }) => consumer !== 'neighbour'),
    }))
    assert.ok(!renderReport({ ...SAMPLE, cells }).includes('id="reach"'))
  })

  it('gives the reason for each combination that does not apply, and points from the matrix to it', () => {
    const page = renderReport(SAMPLE)
    for (const { failure, mitigation, consumer, reason } of SAMPLE.absent) {
      assert.ok(page.includes(reason))
      if (consumer !== undefined) continue
      assert.ok(page.includes(`href="#x-${failure}--${mitigation}"`) && page.includes(`id="x-${failure}--${mitigation}"`))
    }
  })

  it('has no two elements of one id, and no link that leads nowhere', () => {
    const page = renderReport(SAMPLE)
    const ids = [...page.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id)
    assert.equal(new Set(ids).size, ids.length)
    for (const [, id] of page.matchAll(/\shref="#([^"]*)"/g)) assert.ok(ids.includes(id), id)
  })

  for (const [name, record, words] of [
    ['only scenarios', { ...only(() => false), absent: [] }, 'This run was of the named scenarios only'],
    ['no scenario', { ...SAMPLE, scenarios: [] }, 'Every failure against every mitigation'],
    ['only a cell that was not run', only(({ verdict }) => verdict === 'not-run'), 'No cell of the matrix could be run'],
    ['one cell', only((one) => one === SAMPLE.cells[0]), 'Of 1 mitigation tried, none kept every consumer'],
  ] as const) {
    it(`can be made of a run with ${name}`, () => {
      assert.ok(textOf(renderReport(record)).includes(words))
    })
  }
})
