import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { PROBE } from '../../src/lab/consumer/probe.ts'
import type { Cell, Teardown } from '../../src/lab/matrix/lab-record.ts'
import { type DriverRun, peer, runDriver } from '../support/driver-run.ts'
import { DUMMY_FUSE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { schemaOf } from '../support/type-check.ts'

const problemsWith = schemaOf('src/lab/matrix/lab-record.ts', 'LabRecord')

/** Runs one failure with a driver that stages a FUSE mount (test/peers/staging-driver.ts). `heals`: HEALS of the driver; then it is watched for longer. */
async function labRun(sandbox: Sandbox, leaves: string, failure: string, consumers: string, heals?: string): Promise<DriverRun> {
  const file = {
    name: 'staging-driver',
    start: peer('staging-driver', '{socket}', DUMMY_FUSE),
    env: { LEAVES: leaves, ...(heals === undefined ? {} : { HEALS: heals }) },
    callTimeout: 60,
    watch: heals === undefined ? 5 : 60,
    volume: { id: 'some-volume' },
    file: 'dummy-file.txt',
    content: 'Hello world!\n',
  }
  const run = await runDriver(sandbox, file, ['--mitigation', 'as-is', '--failure', failure, '--consumer', consumers])
  assert.deepEqual(problemsWith(run.record), [])
  return run
}

function teardownOf(cell: Cell | undefined): Teardown {
  assert.ok(cell?.teardown !== undefined, cell?.why)
  return cell.teardown
}

/** Each call, and whether it succeeded. */
function callsOf({ calls }: Pick<Teardown, 'calls'>): readonly string[] {
  return calls.map(({ rpc, succeeded, failure }) => `${rpc} ${succeeded ? 'OK' : (failure?.code ?? '?')}`)
}

const ALL_OK = ['NodeUnpublishVolume OK', 'NodeUnstageVolume OK']
const NOTHING = { mounts: [], folders: [], holders: [] }

describe('what is seen of a driver when every pod leaves', () => {
  it('is that pods are stuck in Terminating: NodeUnpublishVolume fails for ever on a folder with files', async () => {
    await using sandbox = new Sandbox()
    const { record, markdown, xml, report } = await labRun(sandbox, 'target', 'target-unmounted', 'opens-anew')
    const well = teardownOf(record.firstUse)
    assert.deepEqual([callsOf(well), well.left, well.newPod?.saw], [ALL_OK, NOTHING, 'right'])
    const { calls, left, newPod } = teardownOf(record.cells[0])
    assert.deepEqual(callsOf({ calls }), ['NodeUnpublishVolume INTERNAL'])
    const [call] = calls
    assert.equal(call?.attempts, 4)
    assert.match(call.failure?.message ?? '', /ENOTEMPTY/)
    assert.deepEqual(left.folders.filter(({ path }) => path === call.path).length, 1)
    // The volume is still staged, and the next pod has a target of its own.
    assert.equal(newPod?.saw, 'right')
    assert.match(markdown, /\*\*Stuck in Terminating\*\*: Targets unmounted\. NodeUnpublishVolume fails in each attempt/)
    assert.match(markdown, /4 attempts in .* INTERNAL: .*ENOTEMPTY/)
    assert.match(xml, /<testcase [^>]*name="target-unmounted: teardown"[^>]*><failure [^>]*type="stuck"/)
    assert.ok(report.includes('Stuck in Terminating'))
  })

  it('is that a pod is stuck in Terminating that was replaced before: its NodeUnpublishVolume fails on a dead mount', async () => {
    await using sandbox = new Sandbox()
    const file = {
      name: 'fuse-driver',
      start: peer('fuse-driver', '{socket}', DUMMY_FUSE),
      env: { FUSE_DRIVER_REFUSES_DEAD: 'yes' },
      daemon: 'dummy-fuse',
      callTimeout: 60,
      watch: 20,
      volume: { id: 'some-volume', staged: false },
      file: 'dummy-file.txt',
      content: 'Hello world!\n',
    }
    const cells = ['--mitigation', 'as-is', '--failure', 'all-pods-replaced', '--consumer', 'keeps-open,private']
    const { record, markdown } = await runDriver(sandbox, file, cells)
    const { calls, left, newPod } = teardownOf(record.cells[0])
    const refused = calls.filter(({ succeeded }) => !succeeded)
    assert.deepEqual(
      callsOf({ calls }).toSorted(),
      ['INVALID_ARGUMENT', 'INVALID_ARGUMENT', 'OK', 'OK'].map((how) => `NodeUnpublishVolume ${how}`),
    )
    // Each is the target of a pod that is gone, and not that of its successor.
    assert.equal(new Set(calls.map(({ path }) => path)).size, 4)
    for (const { path, attempts, failure } of refused) {
      assert.equal(attempts, 4)
      assert.equal(failure?.message, `${path} does not answer`)
      assert.ok(left.folders.some((one) => one.path === path))
    }
    assert.equal(newPod?.saw, 'right')
    assert.match(
      markdown,
      /\*\*Stuck in Terminating\*\*: Daemon killed and all pods replaced\. NodeUnpublishVolume fails in each attempt/,
    )
  })

  it('is what a pod wrote while its dead mount was replaced: the data is on the disk of the node, and the pod is stuck in Terminating', async () => {
    await using sandbox = new Sandbox()
    const { record, markdown } = await labRun(sandbox, 'target', 'daemon-killed', 'opens-anew,slave-folder', 'yes')
    const [cell] = record.cells
    const { calls, newPod } = teardownOf(cell)
    // The target was bare until each had written there. Each reads right again, which does not hide that.
    assert.deepEqual(
      cell?.consumers.map(({ consumer, seen, wroteToNode, restarts, reads }) => [
        consumer,
        seen,
        wroteToNode,
        restarts,
        reads.wrong,
      ]),
      ['opens-anew', 'slave-folder'].map((consumer) => [consumer, 'writes-to-host-recovers', true, 0, 0]),
    )
    for (const { reads } of cell.consumers) assert.ok((reads.failed.ENOENT ?? 0) > 0)
    assert.deepEqual(cell.evidence.disk.toSorted(), calls.map(({ path }) => join(path, PROBE)).toSorted())
    assert.match(
      markdown,
      /\n1\. \*\*Data on the node's own disk\*\*: FUSE daemon killed\. All 2 consumers see the wrong disk\. It was over after at most /,
    )
    assert.match(
      markdown,
      /Data goes astray with FUSE daemon killed: 2 consumers could write .*, and 2 files were there at the end/,
    )
    assert.deepEqual(callsOf({ calls }), ['NodeUnpublishVolume INTERNAL', 'NodeUnpublishVolume INTERNAL'])
    for (const { failure } of calls) assert.match(failure?.message ?? '', /ENOTEMPTY/)
    assert.match(markdown, /\*\*Stuck in Terminating\*\*: FUSE daemon killed\. NodeUnpublishVolume fails in each attempt/)
    assert.equal(newPod?.saw, 'right')
  })

  it('is that the volume cannot leave the node: NodeUnstageVolume fails where its mount is gone', async () => {
    await using sandbox = new Sandbox()
    const { record, markdown } = await labRun(sandbox, 'staging', 'staging-unmounted', 'opens-anew')
    assert.deepEqual(callsOf(teardownOf(record.firstUse)), ALL_OK)
    const { calls, newPod } = teardownOf(record.cells[0])
    assert.deepEqual(callsOf({ calls }), ['NodeUnpublishVolume OK', 'NodeUnstageVolume INTERNAL'])
    // The kubelet stages the volume anew for the next pod, which mounts it again.
    assert.equal(newPod?.saw, 'right')
    assert.deepEqual(callsOf(newPod), ALL_OK)
    assert.match(markdown, /\*\*The volume cannot leave the node\*\*: Staging path unmounted\. /)
  })

  it('is a mount that stays elsewhere, which a crash of the machine takes all the same', async () => {
    await using sandbox = new Sandbox()
    const outside = join(sandbox.path, 'jfs')
    mkdirSync(outside)
    const { record, markdown } = await labRun(sandbox, outside, 'machine-crash', 'opens-anew,private')
    for (const cell of [record.firstUse, record.cells[0]]) {
      const { calls, left, newPod } = teardownOf(cell)
      assert.ok(calls.length === 3 && calls.every(({ succeeded }) => succeeded))
      assert.deepEqual(
        left.mounts.map((line) => line.split(' ')[4]),
        [outside],
      )
      assert.equal(newPod?.saw, 'right')
    }
    const seen = record.cells[0]?.consumers.map(({ seen }) => seen) ?? []
    assert.equal(seen.length, 2)
    for (const one of seen) assert.ok(one === 'restarted' || one === 'starts-late', one)
    assert.match(markdown, /\*\*Left on the node\*\*: First use\. Without any failure: /)
    assert.ok(markdown.includes('jfs'))
  })

  it('is the cure, where new pods get the dead mount until the last one has left', async () => {
    await using sandbox = new Sandbox()
    const { record, markdown, xml } = await labRun(sandbox, 'late', 'connection-aborted', 'opens-anew,starts-after')
    const [cell] = record.cells
    const seen = cell?.consumers.map(({ seen }) => seen)
    assert.deepEqual(seen, ['errors', 'never-starts'])
    const { calls, left, newPod } = teardownOf(cell)
    assert.deepEqual(callsOf({ calls }).toSorted(), ['NodeUnpublishVolume OK', ...ALL_OK])
    // A call that is answered ABORTED is one for later, and none that fails for ever.
    assert.deepEqual(calls.map(({ attempts }) => attempts).toSorted(), [1, 6, 6])
    assert.deepEqual([left, newPod?.saw], [NOTHING, 'right'])
    assert.match(markdown, /Nearest cure: .*Every pod of the node has to leave; the next one reads right\./)
    assert.match(xml, /<testcase [^>]*name="connection-aborted: teardown"[^>]*><system-out>Each call succeeds, nothing is left, /)
  })
})
