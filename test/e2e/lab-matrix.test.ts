import assert from 'node:assert/strict'
import { globSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Cell, ConsumerResult, LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { schemaOf } from '../support/type-check.ts'

const problemsWith = schemaOf('src/lab/matrix/lab-record.ts', 'LabRecord')

interface Run {
  readonly status: number | null
  readonly output: string
  readonly record: LabRecord
}

async function runCells(sandbox: Sandbox, ...args: string[]): Promise<Run> {
  const json = join(sandbox.path, 'seen.json')
  const env = { ...process.env, TMPDIR: sandbox.directory('tmp') }
  const { status, stdout, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'run', ...args, '--json', json], {
    env,
    timeout: 280_000,
  })
  return { status, output: stdout + stderr, record: JSON.parse(readFileSync(json, 'utf8')) as LabRecord }
}

function cellOf({ record }: Run, failure: string, mitigation: string): Cell {
  const cell = record.cells.find((one) => one.failure === failure && one.mitigation === mitigation)
  if (cell === undefined) throw new Error(`no cell of ${failure} under ${mitigation}`)
  return cell
}

function consumerOf({ consumers }: Cell, id: string): ConsumerResult {
  const found = consumers.find(({ consumer }) => consumer === id)
  if (found === undefined) throw new Error(`no ${id}`)
  return found
}

/** The folders of shields on this machine whose mount point has this name in its path. Other tests have shields too. */
function shieldsOf(name: string): readonly string[] {
  return globSync('/run/dummy-fuse-shield/*/shield.json').filter((file) => {
    try {
      return readFileSync(file, 'utf8').includes(name)
    } catch {
      return false // Its shield has ended meanwhile.
    }
  })
}

describe('cells of the matrix', () => {
  it('come out as the model says, and are recorded as the schema says', async () => {
    await using sandbox = new Sandbox()
    const run = await runCells(sandbox, '--failure', 'plugin-killed,daemon-hung', '--mitigation', 'none,restore,separate')
    assert.equal(run.status, 0, run.output)
    assert.deepEqual(problemsWith(run.record), [])
    assert.equal(run.record.cells.length, 6)
    assert.match(run.output, /^\[6\/6\] ✓ .*: as modelled \(/m)
    assert.match(run.output, /^plugin-killed +2\/11 +2\/11 +11\/11$/m)
    assert.deepEqual(readdirSync(sandbox.directory('tmp')), [])

    const killed = cellOf(run, 'plugin-killed', 'none')
    const dead = consumerOf(killed, 'keeps-open')
    assert.ok((dead.reads.failed.ENOTCONN ?? 0) > 10 && dead.reads.right >= 5 && dead.failedBefore === 0)
    assert.deepEqual([dead.descriptorLived, dead.firstRightAfterFailureMs, dead.restarts], [false, null, 0])
    assert.match(dead.mountTable.join('\n'), / - fuse\.dummy-fuse dummy-fuse /)
    assert.ok((consumerOf(killed, 'mapped').reads.failed.SIGBUS ?? 0) > 10)
    assert.match(killed.evidence.holdersBefore.join('\n'), /^dummy-fuse\[\d+\] fd \d+: connection \d+$/m)
    assert.deepEqual(killed.evidence.holdersAfter.length, 1, 'of the session that starts-during made')
    assert.ok(killed.evidence.mountsBefore.length >= 9)
    for (const kind of ['start', 'end', 'failure', 'restart', 'mended', 'right', 'error'] as const) {
      assert.ok(
        killed.events.some((event) => event.kind === kind),
        kind,
      )
    }
    const lanes = killed.lanes.map(({ id }) => id)
    assert.ok(killed.events.every(({ lane }) => lanes.includes(lane)))
    assert.ok(killed.evidence.logs.some(({ lane, text }) => lane === 'plugin' && text.includes('NodePublishVolume')))

    const waited = consumerOf(cellOf(run, 'daemon-hung', 'none'), 'keeps-open')
    assert.ok(waited.longestStallMs > 1000)
    assert.equal(waited.descriptorLived, true)
    assert.ok(consumerOf(cellOf(run, 'daemon-hung', 'none'), 'neighbour').longestStallMs < waited.longestStallMs)
    assert.equal(consumerOf(killed, 'neighbour').seen, 'errors', 'its daemon ended with the plugin, too')
    const stale = consumerOf(cellOf(run, 'plugin-killed', 'restore'), 'private')
    assert.equal(stale.seen, 'errors')
    assert.match(stale.reason, /private mount namespace/)
  })

  it('show how far the crash of a daemon reaches: with one for all volumes it reaches the neighbour', async () => {
    await using sandbox = new Sandbox()
    const args = ['--failure', 'daemon-killed', '--mitigation', 'restore,separate,shared,separate-shared,keep,shield']
    const run = await runCells(sandbox, ...args, '--consumer', 'keeps-open,neighbour')
    assert.equal(run.status, 0, run.output)
    // On a busy machine the successor of a daemon whose sessions are kept may take a second.
    const seen = (cell: Cell, id: string): string => consumerOf(cell, id).seen.replace('waits', 'works')
    assert.deepEqual(
      run.record.cells.map((cell) => [cell.mitigation, seen(cell, 'keeps-open'), seen(cell, 'neighbour')]),
      [
        ['restore', 'errors', 'works'],
        ['separate', 'errors', 'works'],
        ['shared', 'errors', 'errors'],
        ['separate-shared', 'errors', 'errors'],
        ['keep', 'works', 'works'],
        ['shield', 'works', 'works'],
      ],
    )
  })

  it('have a daemon behind a shield upgraded under its consumers, and leave nothing of the shields on the machine', async () => {
    await using sandbox = new Sandbox()
    const args = ['--failure', 'daemon-upgraded', '--mitigation', 'shield', '--consumer', 'keeps-open,mapped,private,neighbour']
    const run = await runCells(sandbox, ...args)
    assert.equal(run.status, 0, run.output)
    const { consumers, events, lanes, evidence } = cellOf(run, 'daemon-upgraded', 'shield')
    assert.equal(consumers.length, 4)
    assert.ok(consumers.every(({ descriptorLived }) => descriptorLived !== false))
    const shields = [...evidence.holdersAfter.join('\n').matchAll(/^(\S+)\[\d+\] fd \d+: connection (\d+)$/gm)]
    assert.deepEqual([...new Set(shields.map(([, comm]) => comm))].sort(), ['dummy-fuse-keep', 'dummy-shield'])
    assert.equal(new Set(shields.map(([, , connection]) => connection)).size, 2, 'one of each volume')
    // The new daemon runs beside the old one.
    const [failure = Infinity] = events.flatMap(({ kind, atMs }) => (kind === 'failure' ? [atMs] : []))
    const since = events.filter(({ lane, atMs }) => lane === 'dummy-fuse' && atMs > failure)
    assert.ok(
      since.some(({ kind }) => kind === 'start' || kind === 'restart') && since.some(({ kind }) => kind === 'end'),
      JSON.stringify(since),
    )
    assert.ok(lanes.some(({ id }) => id === 'dummy-shield'))
    assert.deepEqual(shieldsOf('dummy-fuse-pv'), [])
  })

  it('can be chosen by consumer, and tell what is absent and why', async () => {
    await using sandbox = new Sandbox()
    const args = ['--failure', 'machine-crash', '--mitigation', 'restore,sync-init', '--consumer', 'cwd,starts-during']
    const run = await runCells(sandbox, ...args)
    assert.equal(run.status, 0, run.output)
    assert.deepEqual(
      cellOf(run, 'machine-crash', 'restore').consumers.map(({ consumer, seen }) => [consumer, seen]),
      [['cwd', 'restarted']],
    )
    assert.deepEqual(
      run.record.absent.map(({ mitigation, consumer }) => [mitigation, consumer]),
      [
        ['restore', 'starts-during'],
        ['sync-init', undefined],
      ],
    )
  })

  it('that need systemd are told apart where there is none, while the others run', async () => {
    await using sandbox = new Sandbox()
    const args = ['--failure', 'plugin-restarted,staging-unmounted', '--mitigation', 'none', '--systemd', 'none']
    const run = await runCells(sandbox, ...args, '--consumer', 'keeps-open,private')
    assert.equal(run.status, 4, run.output)
    assert.deepEqual(
      run.record.cells.map(({ failure, verdict }) => [failure, verdict]),
      [
        ['plugin-restarted', 'not-run'],
        ['staging-unmounted', 'as-modelled'],
      ],
    )
    assert.match(cellOf(run, 'plugin-restarted', 'none').why ?? '', /needs systemd, and --systemd none was given/)
  })

  it('that need systemd have a real one, which is gone afterwards', async () => {
    await using sandbox = new Sandbox()
    const args = ['--failure', 'plugin-restarted,daemon-killed', '--mitigation', 'separate,service']
    const run = await runCells(sandbox, ...args, '--consumer', 'keeps-open,private,neighbour')
    assert.equal(run.status, 0, run.output)
    assert.match(run.record.node.systemd, /^nspawn \d+$/)
    const kept = cellOf(run, 'daemon-killed', 'service')
    // On a busy machine a read may have waited for a second.
    assert.equal(kept.consumers.length, 3)
    for (const { consumer, seen } of kept.consumers) assert.ok(seen === 'works' || seen === 'waits', `${consumer}: ${seen}`)
    assert.match(kept.evidence.holdersAfter.join('\n'), /^systemd\[1\] fd \d+: connection \d+$/m)
    assert.deepEqual(readdirSync(sandbox.directory('tmp')), [])
  })
})
