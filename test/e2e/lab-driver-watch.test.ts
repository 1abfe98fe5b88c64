import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ConsumerResult } from '../../src/lab/matrix/lab-record.ts'
import { PROBE } from '../../src/lab/consumer/probe.ts'
import { type DriverRun, runDriver } from '../support/driver-run.ts'
import { Sandbox } from '../support/sandbox.ts'
import { BINDING, late } from '../support/small-drivers.ts'
import { schemaOf } from '../support/type-check.ts'

const problemsWith = schemaOf('src/lab/matrix/lab-record.ts', 'LabRecord')

async function labRun(file: object, ...cells: readonly string[]): Promise<DriverRun> {
  await using sandbox = new Sandbox()
  const run = await runDriver(sandbox, file, cells.includes('--mitigation') ? cells : ['--mitigation', 'as-is', ...cells])
  assert.deepEqual(problemsWith(run.record), [])
  return run
}

function outcomes(consumers: readonly ConsumerResult[] | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries((consumers ?? []).map(({ consumer, seen }) => [consumer, seen]))
}

/** On a busy machine a read may have waited. */
function assertNoError(consumers: readonly ConsumerResult[] | undefined, number: number): void {
  assert.equal(consumers?.length, number)
  for (const { consumer, seen } of consumers) assert.ok(seen === 'works' || seen === 'waits', `${consumer}: ${seen}`)
}

describe('a driver that looks the processes of a pod up by their cgroup', () => {
  it('finds each consumer by the uid of its target, and its mounts are healed', async () => {
    const cells = ['--failure', 'target-unmounted', '--consumer', 'private,slave-folder']
    const { record } = await labRun({ ...BINDING, env: { HEALS: 500, FINDS: 'pods' }, podCgroups: true, watch: 30 }, ...cells)
    const [cell] = record.cells
    assert.ok(cell?.verdict === 'measured', cell?.why)
    const uids = cell.teardown?.calls.map(({ path }) => /\/pods\/([^/]+)\//.exec(path)?.[1] ?? '') ?? []
    const pids = cell.lanes.filter(({ id }) => id === 'private' || id === 'slave-folder').map(({ pid }) => pid)
    const id = '[0-9a-f]{64}'
    const said = cell.evidence.logs
      .filter(({ lane, text }) => lane === 'plugin' && text.includes(': process '))
      .map(({ text }) => text)
    const found = said.map((text) => {
      const [, uid = '', pid, path = ''] = /^(\S+): process (\d+) in (.*)$/.exec(text) ?? []
      const slice = `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${uid.replaceAll('-', '_')}.slice`
      assert.match(path, new RegExp(`^${slice}/cri-containerd-${id}\\.scope$`))
      return [uid, Number(pid)] as const
    })
    assert.deepEqual(new Set(found.map(([uid]) => uid)), new Set(uids))
    assert.deepEqual(new Set(found.map(([, pid]) => pid)), new Set(pids))
    assert.equal(uids.length, 2)
  })
})

describe('a driver whose mounts come late, or not at all', { concurrency: true }, () => {
  it('is said once to answer OK before it mounts, with the data on the disk of the node, also that of new pods', async () => {
    const cells = ['--failure', 'plugin-killed,all-pods-replaced', '--consumer', 'opens-anew,private']
    const { record, stdout, markdown, xml } = await labRun(await late(), ...cells)
    const { firstUse, cells: seen } = record
    const early = { 'opens-anew': 'writes-to-host-recovers', private: 'writes-to-host-recovers' }
    assert.deepEqual(outcomes(firstUse?.consumers), early)
    assert.ok(firstUse?.consumers.every(({ wroteToNode }) => wroteToNode))
    assert.equal(firstUse?.evidence.disk.filter((path) => path.endsWith(`/mount/${PROBE}`)).length, 2)
    assert.match(
      stdout,
      /^first use: 0 of 2 consumers read right from the beginning; not opens-anew \(node's disk, then works\), /m,
    )
    // The killed plugin is not blamed for it.
    const [killed, replaced] = seen
    assert.ok(killed !== undefined && replaced !== undefined)
    assertNoError(killed.consumers, 2)
    assert.deepEqual(killed.evidence.disk, [])
    assert.ok(killed.consumers.every(({ wroteToNode, failedBefore }) => !wroteToNode && failedBefore > 0))
    // Those that take the place of others have written again.
    assert.deepEqual(outcomes(replaced.consumers), early)
    assert.ok(replaced.consumers.every(({ wroteToNode, failedBefore }) => wroteToNode && failedBefore > 0))
    assert.equal(replaced.evidence.disk.filter((path) => path.endsWith(`/mount/${PROBE}`)).length, 2)
    for (const { teardown } of [firstUse, killed, replaced])
      assert.deepEqual([teardown?.newPod?.saw, teardown?.newPod?.wroteToNode], ['right', true])
    assert.match(
      markdown,
      /\n1\. \*\*Data on the node's own disk\*\*: First use\. Without any failure, NodePublishVolume answers OK before the volume is mounted \(early return, as in blobfuse2 #1079\)\./,
    )
    assert.match(
      markdown,
      /\n1\. \*\*Data on the node's own disk\*\*: Daemon killed and all pods replaced\. All 2 consumers see the wrong disk\./,
    )
    assert.equal(markdown.split('#1079').length, 2)
    assert.ok(markdown.includes(`/mount/${PROBE}`))
    // The new pod of each teardown writes there too, which is said of the first use.
    assert.match(xml, /<testsuite name="first-use" tests="3" failures="3" /)
    assert.match(
      xml,
      /name="first-use: teardown" [^>]*><failure message="When all pods have left, a new pod writes to the node&#39;s own disk at first/,
    )
    assert.match(xml, /name="plugin-killed: teardown" [^>]*><skipped message="The same is wrong without any failure/)
  })

  it('is said never to mount, and no failure is tried with it', async () => {
    const cells = ['--failure', 'plugin-killed,target-unmounted', '--consumer', 'opens-anew,private']
    const { record, markdown } = await labRun({ ...BINDING, env: { BINDS: 'never' }, watch: 2 }, ...cells)
    const { firstUse, cells: seen, absent } = record
    assert.deepEqual(outcomes(firstUse?.consumers), { 'opens-anew': 'writes-to-host', private: 'writes-to-host' })
    assert.equal(firstUse?.evidence.disk.filter((path) => path.endsWith(`/mount/${PROBE}`)).length, 2)
    assert.deepEqual(seen, [])
    const reasons = Object.fromEntries(absent.map(({ failure, reason }) => [failure, reason]))
    assert.match(reasons['plugin-killed'] ?? '', /^It does not read right from the beginning without any failure/)
    assert.match(reasons['target-unmounted'] ?? '', /^It mounts nothing at the target of a pod /)
    assert.match(markdown, /^No failure was tried with binding-driver, because no consumer reads right before one\. /m)
    assert.match(
      markdown,
      /\n1\. \*\*Data on the node's own disk\*\*: First use\. Without any failure, NodePublishVolume answers OK and nothing is mounted \(as in blobfuse2 #1081\)\./,
    )
  })

  it('is found out to take 12 seconds for a cure, where its file does not say how long: nothing is said to last for ever', async () => {
    const cells = ['--failure', 'target-unmounted', '--mitigation', 'as-is,consumers-exit', '--consumer', 'opens-anew']
    const { record, stdout, markdown } = await labRun({ ...BINDING, env: { HEALS: 12_000 } }, ...cells)
    assert.match(stdout, /^target-unmounted: watched for 45 s, to see how long a cure takes/m)
    const [asIs, exits] = record.cells
    assert.deepEqual(outcomes(asIs?.consumers), { 'opens-anew': 'writes-to-host-recovers' })
    // Its process ends at each error, and so may not be the one that was there before.
    assert.deepEqual(outcomes(exits?.consumers), { 'opens-anew': 'writes-to-host-recovers' })
    for (const cell of [asIs, exits]) assert.ok((cell?.consumers[0]?.firstRightAfterFailureMs ?? 0) > 10_000)
    assert.doesNotMatch(markdown, /for ever|It lasted to the end/)
    assert.match(markdown, /It was over after at most 1[\d.]+ s\./)
  })

  it('is watched for a time that is said where its cure takes longer, and a pod whose call is not answered is undecided', async () => {
    const cells = ['--failure', 'target-unmounted', '--consumer', 'slave-folder,starts-after']
    const { record, markdown } = await labRun(
      { ...BINDING, env: { HEALS: 3_600_000, STALLS: 'yes' }, watch: 2, callTimeout: 30 },
      ...cells,
    )
    assertNoError(record.firstUse?.consumers, 2)
    const [cell] = record.cells
    assert.deepEqual(outcomes(cell?.consumers), { 'slave-folder': 'writes-to-host', 'starts-after': 'undecided' })
    assert.ok(cell?.consumers.every(({ watchedMs }) => watchedMs >= 2000))
    assert.match(markdown, /It lasted to the end\. The lab watched each of them for [\d.]+ (s|min)/)
    assert.match(markdown, /What comes of consumers that start after it, or again, is undecided\./)
    const { calls = [], newPod } = cell?.teardown ?? {}
    assert.deepEqual([calls.map(({ failure }) => failure?.code), newPod], [['DEADLINE_EXCEEDED'], undefined])
  })
})
