import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type DriverRun, peer, runDriver, STORE } from '../support/driver-run.ts'
import { DUMMY_FUSE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

/** Stages and mounts nothing there; binds a folder. */
const FOLDER = { ...STORE, populate: "printf '%s' content > {target}/file", file: 'file', content: 'content' }

/** Mounts FUSE at each target, and stages nothing (test/peers/fuse-driver.ts). */
const FUSE = {
  name: 'fuse-driver',
  start: peer('fuse-driver', '{socket}', DUMMY_FUSE),
  callTimeout: 60,
  watch: 2,
  volume: { id: 'some-volume', staged: false },
  file: 'dummy-file.txt',
  content: 'Hello world!\n',
}

/** A process of another user, as a daemon that has dropped its rights is. */
const NOBODY = `process.title = 'nobodys'
process.setgroups([])
process.setgid(65534)
process.setuid(65534)
setInterval(() => {}, 1000)`

const HELPER = {
  name: 'other-user',
  command: [process.execPath, '-e', NOBODY],
  ready: "grep -qs '^Uid:.65534' /proc/[0-9]*/status",
  belongs: 'node',
}

/** Runs cells of a driver without CAP_SYS_RESOURCE, as in most containers. */
async function run(sandbox: Sandbox, file: object, failures: string, mitigations: string, consumers: string): Promise<DriverRun> {
  const cells = ['--failure', failures, '--mitigation', mitigations, '--consumer', consumers]
  return await runDriver(sandbox, file, cells, { by: ['setpriv', '--bounding-set', '-sys_resource'] })
}

describe('what a failure cannot do to a driver', () => {
  it('is absent with its reason everywhere, and descriptors are limited of a process of another user', async () => {
    await using sandbox = new Sandbox()
    const file = { ...FOLDER, helpers: [HELPER], daemon: 'nobodys' }
    const failures = 'staging-unmounted,connection-aborted,out-of-descriptors'
    const { record, stdout, markdown, report } = await run(sandbox, file, failures, 'as-is,health', 'opens-anew')
    assert.deepEqual(
      record.cells.map(({ failure, mitigation, verdict, why }) => [failure, mitigation, verdict, why]),
      [['out-of-descriptors', 'as-is', 'measured', undefined]],
    )
    const [cell] = record.cells
    assert.deepEqual(
      cell?.consumers.map(({ reads }) => [reads.wrong, reads.failed]),
      [[0, {}]],
    )
    const staging = 'It mounts nothing at the staging path, although it stages volumes.'
    const reasons = [
      ['staging-unmounted', 'as-is', staging],
      ['staging-unmounted', 'health', staging],
      ['out-of-descriptors', 'health', 'It does not implement NodeGetVolumeHealth: it has no capability GET_VOLUME_HEALTH.'],
    ]
    const others = record.absent.filter(({ failure }) => failure !== 'connection-aborted')
    assert.deepEqual(
      others.map(({ failure, mitigation, reason }) => [failure, mitigation, reason]),
      reasons,
    )
    const [aborted] = record.absent.filter(({ failure }) => failure === 'connection-aborted').map(({ reason }) => reason)
    assert.match(aborted ?? '', /^It has made no FUSE mount: a mount of \S+ is at the target\.$/)
    assert.match(stdout, new RegExp(`^not tried: staging-unmounted: ${staging}$`, 'm'))
    assert.match(stdout, /^not tried: health: It does not implement NodeGetVolumeHealth: /m)
    assert.match(markdown, new RegExp(`^- Staging path unmounted: ${staging}$`, 'm'))
    assert.match(markdown, /^- Health watched: It does not implement NodeGetVolumeHealth: /m)
    assert.ok(report.includes(`Staging path unmounted: ${staging}`))
    assert.ok(report.includes('Health watched: It does not implement NodeGetVolumeHealth: '))
  })

  it('is all that needs FUSE, for a driver that binds a folder; that lives through the rest, and needs new pods after a crash of the machine', async () => {
    await using sandbox = new Sandbox()
    const daemons = ['daemon-killed', 'daemon-hung', 'daemon-replaced', 'holder-killed', 'pod-replaced', 'all-pods-replaced']
    const failures = [...daemons, 'connection-aborted', 'staging-unmounted', 'plugin-killed', 'machine-crash']
    const file = { ...FOLDER, fuse: false, watch: 30 }
    const cells = ['--failure', failures.join(','), '--mitigation', 'as-is']
    const consumers = ['--consumer', 'keeps-open,opens-anew,private,starts-after']
    const { record, markdown } = await runDriver(sandbox, file, [...cells, ...consumers])
    const noFuse = 'It has made no FUSE mount: a mount of tmpfs is at the target.'
    assert.deepEqual(
      Object.fromEntries(record.absent.map(({ failure, reason }) => [failure, reason])),
      Object.fromEntries([
        ...[...daemons, 'connection-aborted'].map((failure) => [failure, noFuse]),
        ['staging-unmounted', 'It mounts nothing at the staging path, although it stages volumes.'],
      ]),
    )
    const [killed, crashed] = record.cells
    assert.equal(record.cells.length, 2)
    assert.deepEqual(
      killed?.consumers.map(({ consumer, reads, restarts }) => [consumer, reads.wrong, reads.failed, restarts]),
      ['keeps-open', 'opens-anew', 'private', 'starts-after'].map((consumer) => [consumer, 0, {}, 0]),
    )
    const [last, ...running] = crashed?.consumers.toReversed() ?? []
    assert.deepEqual(
      running.map(({ seen, restarts, firstRightAfterFailureMs }) => [seen, restarts, firstRightAfterFailureMs !== null]),
      running.map(() => ['restarted', 1, true]),
    )
    assert.equal(running.length, 3)
    assert.deepEqual([last?.consumer, last?.reads.failed, last?.restarts], ['starts-after', {}, 0])
    assert.doesNotMatch(markdown, /for ever|undecided|stays? broken/i)
    assert.match(markdown, /\n1\. \*\*Errors for a time\*\*: Machine crashes\. 3 of 4 consumers /)
    assert.ok(markdown.includes(noFuse))
  })

  it('is not to abort the connections of a driver that stages nothing, or to kill the daemons that answer when the file names another', async () => {
    await using sandbox = new Sandbox()
    const file = { ...FUSE, helpers: [HELPER], daemon: 'nobodys' }
    const { record, stdout } = await run(sandbox, file, 'connection-aborted,daemon-killed', 'as-is,health', 'keeps-open,opens-anew')
    assert.deepEqual(
      record.cells.map(({ failure, mitigation, verdict, why }) => [failure, mitigation, verdict, why]),
      ['daemon-killed', 'connection-aborted'].map((failure) => [failure, 'as-is', 'measured', undefined]),
    )
    for (const { failure, consumers } of record.cells)
      assert.deepEqual([failure, ...consumers.map(({ seen }) => seen)], [failure, 'errors', 'errors'])
    const struck = record.cells.flatMap(({ events }) => events.filter(({ kind }) => kind === 'failure').map(({ text }) => text))
    assert.equal(struck.length, 2)
    assert.match(struck[0] ?? '', /^kill -9 of the FUSE daemon, process \d+, \d+$/)
    assert.match(struck[1] ?? '', /^connections \d+, \d+ are aborted$/)
    assert.match(
      stdout,
      /^the driver's file: daemon: nobodys is no process that holds \/dev\/fuse; it is dummy-fuse\[\d+\] that answers for the volume$/m,
    )
    const health = 'It does not implement NodeGetVolumeHealth: it has the capability GET_VOLUME_HEALTH, and answers UNIMPLEMENTED.'
    assert.deepEqual(
      record.absent.map(({ failure, mitigation, reason }) => [failure, mitigation, reason]),
      ['daemon-killed', 'connection-aborted'].map((failure) => [failure, 'health', health]),
    )
  })
})
