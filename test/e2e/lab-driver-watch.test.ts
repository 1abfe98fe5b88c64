import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ConsumerResult } from '../../src/lab/matrix/lab-record.ts'
import { PROBE } from '../../src/lab/consumer/probe.ts'
import { type DriverRun, peer, runDriver } from '../support/driver-run.ts'
import { Sandbox } from '../support/sandbox.ts'
import { schemaOf } from '../support/type-check.ts'

const problemsWith = schemaOf('src/lab/matrix/lab-record.ts', 'LabRecord')

/** Of a driver whose volumes are bind mounts (test/peers/binding-driver.ts). */
const BINDING = {
  name: 'binding-driver',
  start: peer('binding-driver', '{socket}', '{state}/volume'),
  fuse: false,
  callTimeout: 60,
  prepare: "mkdir {state}/volume && printf '%s' content > {state}/volume/file",
  volume: { id: 'some-volume', staged: false },
  file: 'file',
  content: 'content',
}

async function labRun(file: object, ...cells: readonly string[]): Promise<DriverRun> {
  await using sandbox = new Sandbox()
  const run = await runDriver(sandbox, { ...BINDING, ...file }, ['--mitigation', 'as-is', ...cells])
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
    const { record } = await labRun({ env: { HEALS: 500, FINDS: 'pods' }, podCgroups: true, watch: 30 }, ...cells)
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
  it('is said once to answer OK before it mounts, with the data on the disk of the node', async () => {
    const cells = ['--failure', 'plugin-killed', '--consumer', 'opens-anew,slave-folder']
    const { record, stdout, markdown, xml } = await labRun({ env: { BINDS: 'late' }, watch: 30 }, ...cells)
    const { firstUse, cells: seen } = record
    const late = { 'opens-anew': 'writes-to-host-recovers', 'slave-folder': 'writes-to-host-recovers' }
    assert.deepEqual(outcomes(firstUse?.consumers), late)
    assert.ok(firstUse?.consumers.every(({ wroteToNode }) => wroteToNode))
    assert.equal(firstUse?.evidence.disk.filter((path) => path.endsWith(`/mount/${PROBE}`)).length, 2)
    assert.match(
      stdout,
      /^first use: 0 of 2 consumers read right from the beginning; not opens-anew \(node's disk, then works\), /m,
    )
    // The killed plugin is not blamed for it.
    const [killed] = seen
    assert.ok(killed !== undefined)
    assertNoError(killed.consumers, 2)
    assert.deepEqual(killed.evidence.disk, [])
    assert.ok(killed.consumers.every(({ wroteToNode, failedBefore }) => !wroteToNode && failedBefore > 0))
    assert.match(
      markdown,
      /\n1\. \*\*Data on the node's own disk\*\*: First use\. Without any failure, NodePublishVolume answers OK before the volume is mounted \(early return, as in blobfuse2 #1079\)\./,
    )
    assert.equal(markdown.split('#1079').length, 2)
    assert.ok(markdown.includes(`/mount/${PROBE}`))
    // A new pod has private mounts, so that it keeps the bare folder.
    assert.match(xml, /<testsuite name="first-use" tests="3" failures="3" /)
    assert.match(xml, /name="plugin-killed: teardown" [^>]*><skipped message="The same is wrong without any failure/)
  })

  it('is said never to mount, and no failure is tried with it', async () => {
    const cells = ['--failure', 'plugin-killed,target-unmounted', '--consumer', 'opens-anew,private']
    const { record, markdown } = await labRun({ env: { BINDS: 'never' }, watch: 2 }, ...cells)
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

  it('is watched for a time that is said where its cure takes longer, and a pod whose call is not answered is undecided', async () => {
    const cells = ['--failure', 'target-unmounted', '--consumer', 'slave-folder,starts-after']
    const { record, markdown } = await labRun({ env: { HEALS: 3_600_000, STALLS: 'yes' }, watch: 2, callTimeout: 30 }, ...cells)
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
