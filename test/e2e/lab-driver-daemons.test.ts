import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Cell } from '../../src/lab/matrix/lab-record.ts'
import { type DriverRun, runDriver } from '../support/driver-run.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { type Result, Sandbox } from '../support/sandbox.ts'
import { served } from '../support/small-drivers.ts'

/** Runs cells under `as-is`, all of which must run. */
async function run(sandbox: Sandbox, file: object, failures: string, consumers: string): Promise<DriverRun> {
  const ran = await runDriver(sandbox, file, ['--failure', failures, '--mitigation', 'as-is', '--consumer', consumers])
  assert.deepEqual(
    ran.record.cells.map(({ verdict, why }) => [verdict, why]),
    failures.split(',').map(() => ['measured', undefined]),
  )
  return ran
}

function cellOf({ record }: DriverRun, failure: string): Cell {
  const cell = record.cells.find((one) => one.failure === failure)
  if (cell === undefined) throw new Error(`no cell of ${failure}`)
  return cell
}

function outcomes(cell: Cell): Readonly<Record<string, string>> {
  return Object.fromEntries(cell.consumers.map(({ consumer, seen }) => [consumer, seen]))
}

/** What happened on a lane, as `KIND TEXT`. */
function events({ events: all }: Cell, lane: string): readonly string[] {
  return all.filter((event) => event.lane === lane).map(({ kind, text }) => `${kind} ${text}`)
}

/** The number in the first of these lines that fits. */
function numberIn(lines: readonly string[], pattern: RegExp): number {
  const found = lines.map((line) => pattern.exec(line)?.[1]).find((number) => number !== undefined)
  assert.ok(found !== undefined, `${pattern}: ${lines.join('\n')}`)
  return Number(found)
}

describe('who answers for the volume of a driver', () => {
  it('is told apart from its supervisor of the same name, which brings another one after 2.3 s; each is a failure of its own', async () => {
    await using sandbox = new Sandbox()
    const ran = await run(sandbox, await served('supervised=2300'), 'daemon-killed,holder-killed', 'keeps-open')
    const [waited] = cellOf(ran, 'daemon-killed').consumers
    assert.ok(waited?.seen === 'waits' && waited.longestStallMs >= 1200, JSON.stringify(waited))
    assert.match(
      ran.markdown,
      /^1\. \*\*Stalls\*\*: FUSE daemon killed\b.* Keeps its file open waits, then works\. The longest that a read took was [\d.]+ s\.$/m,
    )
    for (const [failure, word, other] of [
      ['daemon-killed', 'FUSE daemon', 'answers for the volume'],
      ['holder-killed', 'what only holds the connection', 'only holds a descriptor'],
    ] as const) {
      const cell = cellOf(ran, failure)
      assert.match(outcomes(cell)['keeps-open'] ?? '', /^(works|waits)$/, failure)
      const node = events(cell, 'node')
      const struck = numberIn(node, new RegExp(`^failure .*${word}, process (\\d+)$`))
      assert.equal(struck, numberIn(node, new RegExp(`served\\[(\\d+)\\] ${other}`)))
      const lane = events(cell, 'served')
      assert.ok(lane.includes(`end process ${struck} is gone`))
      assert.equal(lane.filter((line) => line.startsWith('restart ')).length, failure === 'daemon-killed' ? 1 : 0, lane.join('\n'))
    }
  })

  it('is given up by its supervisor some time after it was killed: reads wait, and then fail for as long as was watched', async () => {
    await using sandbox = new Sandbox()
    const ran = await run(sandbox, { ...(await served('gives-up=2500')), watch: 8 }, 'daemon-killed', 'keeps-open')
    const cell = cellOf(ran, 'daemon-killed')
    const [result] = cell.consumers
    assert.ok(result?.seen === 'errors' && result.longestStallMs >= 2000 && result.watchedMs >= 8000, JSON.stringify(result))
    assert.deepEqual(
      Object.keys(result.reads.failed).filter((name) => !['ENOTCONN', 'ECONNABORTED'].includes(name)),
      [],
    )
    assert.equal(
      numberIn(events(cell, 'node'), /^failure .*FUSE daemon, process (\d+)$/),
      numberIn(events(cell, 'node'), /served\[(\d+)\] answers for the volume/),
    )
    assert.equal(cell.teardown?.newPod?.saw, 'right')
    assert.match(
      ran.markdown,
      /\*\*Errors for ever\*\*: FUSE daemon killed\b.*The lab watched each of them for 8(\.\d+)? s or longer\./,
    )
  })

  it('is struck although the file names a process that only holds a descriptor, and the run says so', async () => {
    await using sandbox = new Sandbox()
    const file = { ...(await served('held')), daemon: 'fd-holder' }
    const ran = await run(sandbox, file, 'daemon-killed', 'keeps-open')
    assert.match(
      ran.stdout,
      /^the driver's file: daemon: fd-holder only holds a descriptor of \/dev\/fuse, and answers for nothing; it is served\[\d+\] that answers for the volume$/m,
    )
    // The connection lives on with its holder, and nobody answers.
    assert.deepEqual(outcomes(cellOf(ran, 'daemon-killed')), { 'keeps-open': 'hangs' })
    const node = events(cellOf(ran, 'daemon-killed'), 'node')
    const struck = numberIn(node, /^failure kill -9 of the FUSE daemon, process (\d+)$/)
    assert.equal(struck, numberIn(node, /^log the file says daemon: fd-holder, .* the failure is about served\[(\d+)\]$/))
  })
})

describe('the pods of a driver that gives new pods a dead mount until the last has left', () => {
  it('are cured by replacing all of them, and not by replacing one; a daemon that forks has not started again', async () => {
    await using sandbox = new Sandbox()
    const file = { ...(await served('daemonises')), volume: { id: 'some-volume' }, env: { FUSE_DRIVER_STAGES: 'yes' } }
    const ran = await run(sandbox, file, 'pod-replaced,all-pods-replaced', 'keeps-open,private,starts-after')
    const one = cellOf(ran, 'pod-replaced')
    assert.deepEqual(outcomes(one), { 'keeps-open': 'errors', private: 'errors', 'starts-after': 'never-starts' })
    assert.ok(events(one, 'kubelet').includes('log the pods of private are deleted'))
    assert.ok(events(one, 'served').every((line) => !line.startsWith('restart ')))
    const all = cellOf(ran, 'all-pods-replaced')
    const { 'starts-after': fresh = '', ...replaced } = outcomes(all)
    assert.deepEqual(replaced, { 'keeps-open': 'restarted', private: 'restarted' })
    // On a busy machine its call may be made again.
    assert.match(fresh, /^(works|waits|starts-late)$/)
    assert.ok(
      events(all, 'kubelet').includes('log the last pod has left: NodeUnpublishVolume and NodeUnstageVolume have succeeded'),
    )
    assert.equal(events(all, 'served').filter((line) => line.startsWith('restart ')).length, 1)
  })
})

describe('a driver that starts its FUSE server in a mount namespace of its own', () => {
  it('loses it to a crash of the machine, and has it found where it stays after its volume', async () => {
    await using sandbox = new Sandbox()
    const file = { ...(await served('daemonises')), env: { FUSE_DRIVER_BY: 'unshare' }, watch: 20 }
    const ran = await run(sandbox, file, 'machine-crash', 'keeps-open')
    const cell = cellOf(ran, 'machine-crash')
    assert.match(outcomes(cell)['keeps-open'] ?? '', /^(restarted|starts-late)$/)
    const servers = (lines: readonly string[]): readonly string[] =>
      lines.flatMap((line) => /^served\[(\d+)\] /.exec(line)?.[1] ?? [])
    const before = servers(cell.evidence.holdersBefore)
    assert.ok(before.length > 0)
    const again = cell.events.find(({ lane, kind }) => lane === 'plugin' && kind === 'restart')?.atMs ?? 0
    const gone = cell.events.filter(({ lane, kind, atMs }) => lane === 'served' && kind === 'end' && atMs < again)
    for (const pid of before)
      assert.ok(
        gone.some(({ text }) => text === `process ${pid} is gone`),
        events(cell, 'served').join('\n'),
      )
    const left = servers(cell.teardown?.left.holders ?? [])
    assert.ok(left.length > 0 && left.every((pid) => !before.includes(pid)), left.join())
    assert.ok(ran.markdown.includes('**Left on the node**'))
  })
})

describe('a driver that starts its FUSE server as a unit of systemd', () => {
  const unit = async (): Promise<object> => ({
    ...(await served('daemonises')),
    env: { FUSE_DRIVER_BY: 'systemd' },
    callTimeout: 60,
    populate: 'cat {target}/dummy-file.txt && : > /run/of-populate && : > /opt/of-populate',
  })

  it('has a machine as its node, where its readers outlive the plugin, and the power is cut', async () => {
    await using sandbox = new Sandbox()
    const file = { ...(await unit()), systemd: true, podCgroups: true }
    const ran = await run(sandbox, file, 'plugin-killed,machine-crash', 'keeps-open')
    assert.match(ran.record.node.systemd, /^nspawn \d+$/)
    const killed = cellOf(ran, 'plugin-killed')
    assert.match(outcomes(killed)['keeps-open'] ?? '', /^(works|waits)$/)
    const plugin = events(killed, 'plugin').map((line) => line.replaceAll(/\d+/g, 'N'))
    assert.deepEqual(plugin.slice(0, 4), [
      'start process N listens',
      'failure the plugin is killed',
      'end process N ended by SIGKILL',
      'restart process N listens',
    ])
    // The server that held the volume before the plugin was killed holds it at the end.
    const { holdersBefore, holdersAfter, mountsBefore, mountsAfter } = killed.evidence
    assert.ok(
      holdersAfter.some((one) => holdersBefore.includes(one)),
      [...holdersBefore, '---', ...holdersAfter].join('\n'),
    )
    assert.deepEqual(mountsAfter, mountsBefore)
    assert.ok(events(killed, 'served').every((line) => !line.startsWith('restart ')))
    const crashed = cellOf(ran, 'machine-crash')
    assert.deepEqual(outcomes(crashed), { 'keeps-open': 'restarted' })
    for (const { evidence, teardown } of [killed, crashed]) {
      const files = ['/opt/of-populate', '/run/of-populate'].map((path) => ({ path, kind: 'file', size: 0 }))
      assert.deepEqual(evidence.written, files)
      assert.equal(teardown?.newPod?.saw, 'right')
      assert.deepEqual([teardown.left.mounts, teardown.left.folders], [[], []])
    }
  })

  it('is told once on a private node that there is no systemd, and which field it needs', async () => {
    await using sandbox = new Sandbox()
    const path = join(sandbox.path, 'driver.yaml')
    // The log of the driver stays where temporary files are.
    const env = { ...process.env, TMPDIR: sandbox.path }
    const labRun = async (file: object, ...args: readonly string[]): Promise<Result> => {
      writeFileSync(path, JSON.stringify(file))
      return await sandbox.run(EXECUTABLE, ['lab', 'run', '--driver', path, ...args], { timeout: 240_000, env })
    }
    const { status, stderr } = await labRun(await unit())
    assert.equal(status, 1)
    assert.match(
      stderr,
      /fuse-driver cannot be tested: NodePublishVolume: the driver asks for systemd, and its node has none; say systemd: true: /,
    )
    assert.equal(stderr.split('say systemd: true').length, 2)
    const host = await labRun({ ...(await unit()), systemd: true }, '--systemd', 'host')
    assert.equal(host.status, 2)
    assert.match(host.stderr, /systemd: true, .*; leave out --systemd host/)
  })
})

describe('the helpers of a driver', () => {
  const FOREVER = [process.execPath, '-e', 'setInterval(() => {}, 1000)']
  const helper = (name: string, belongs: string, storage = false): object => ({ name, command: FOREVER, belongs, storage })

  it('are killed but for the storage, and a service alone is started again', async () => {
    await using sandbox = new Sandbox()
    const helpers = [helper('cache', 'service'), helper('agent', 'node'), helper('sidecar', 'container')]
    const file = { ...(await served('daemonises')), helpers: [...helpers, helper('server', 'node', true)] }
    const ran = await runDriver(sandbox, file, [
      ...['--failure', 'helper-killed,holder-killed', '--mitigation', 'as-is', '--consumer', 'keeps-open'],
    ])
    const [cell] = ran.record.cells
    assert.ok(cell !== undefined && ran.record.cells.length === 1)
    assert.equal(cell.verdict, 'measured', cell.why)
    assert.match(outcomes(cell)['keeps-open'] ?? '', /^(works|waits)$/)
    const kinds = ['cache', 'agent', 'sidecar', 'server'].map((name) =>
      events(cell, `helper-${name}`).map((line) => line.replace(/ .*/, '')),
    )
    assert.deepEqual(kinds, [['start', 'end', 'restart'], ['start', 'end'], ['start', 'end'], ['start']])
    const struck = events(cell, 'node').filter((line) => line.startsWith('failure '))
    assert.deepEqual(
      struck.map((line) => line.replace(/process \d+/, 'process N')),
      [
        "failure SIGKILL to the helper sidecar, process N, which is started again with the plugin's container, and not before",
        'failure SIGKILL to the helper cache, process N, a service, which is started again at once',
        'failure SIGKILL to the helper agent, process N, which is started again when the machine starts, and not before',
      ],
    )
    assert.deepEqual(
      ran.record.absent.map(({ failure, reason }) => [failure, reason]),
      [['holder-killed', 'Only what answers for the volume (served) holds a descriptor of its connection.']],
    )
  })
})
