import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { runDriver, STORE as STORE_DRIVER } from '../support/driver-run.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

const STORE = {
  ...STORE_DRIVER,
  fuse: false,
  populate: "mkdir {target}/sub && printf '%s' '{node}' > {target}/sub/file",
  file: 'sub/file',
  content: '{node}',
}

describe('the file of a driver that wants much', () => {
  it('has its volume created, populated, published with the pod and its secrets, and deleted at the end; its helpers end with the container, with the machine, or not at all', async () => {
    await using sandbox = new Sandbox()
    const command = (line: string): readonly string[] => ['/bin/sh', '-c', line]
    const helpers = [
      { name: 'on-node', command: command('echo "$STORE_PLACE"; : > {state}/on-node; sleep 1000'), belongs: 'node' },
      {
        name: 'service',
        command: command(
          'test -e {state}/on-node && : > {state}/service; until test -e {state}/beside; do sleep 0.1; done; sleep 1',
        ),
        belongs: 'service',
      },
      { name: 'beside', command: command('test -e {state}/service && : > {state}/beside; sleep 1000'), belongs: 'container' },
    ].map((helper) => ({ ...helper, ready: `test -e {state}/${helper.name}` }))
    const cells = ['--failure', 'plugin-killed', '--mitigation', 'as-is', '--consumer', 'keeps-open,opens-anew']
    const { cells: seen } = (await runDriver(sandbox, { ...STORE, helpers }, cells)).record
    const [cell] = seen
    assert.ok(cell?.verdict === 'measured', cell?.why)
    // On a busy machine a read may take a second.
    assert.deepEqual(
      cell.consumers.map(({ reads }) => [reads.wrong, reads.failed]),
      [
        [0, {}],
        [0, {}],
      ],
    )
    const told = cell.events
      .filter(({ text }) => /^(CreateVolume|DeleteVolume|NodeUnstageVolume)/.test(text))
      .map(({ text }) => text)
    const [, id = ''] = /^CreateVolume: volume (pvc-[0-9a-f-]{36})$/.exec(told[0] ?? '') ?? []
    const unstaged = 'NodeUnstageVolume /var/lib/kubelet/plugins/kubernetes.io/csi/pv/driver-pv/globalmount: OK'
    assert.deepEqual(told.slice(1), [unstaged, unstaged, `DeleteVolume: volume ${id}`])
    const calls = cell.evidence.logs.filter(({ lane }) => lane === 'plugin').map(({ text }) => text)
    assert.deepEqual(calls.slice(-2), [`NodeUnstageVolume ${id}`, `DeleteVolume ${id}`])
    assert.ok(!existsSync('/run/store-driver'), 'the folder of the socket is on the machine')

    const kinds = (name: string): readonly string[] =>
      cell.events.filter(({ lane }) => lane === `helper-${name}`).map(({ kind }) => kind)
    assert.deepEqual(kinds('on-node'), ['start'])
    assert.deepEqual(kinds('beside'), ['start', 'end', 'restart'])
    assert.deepEqual(kinds('service').slice(0, 3), ['start', 'end', 'restart'])
    const logs = cell.evidence.logs.filter(({ lane }) => lane === 'helper-on-node').map(({ text }) => text)
    assert.deepEqual(logs, ['/var/lib/kubelet/plugins/dummy-fuse-csi/here'])
  })

  it('has helpers that are not ready end the run, which names them', async () => {
    await using sandbox = new Sandbox()
    const file = join(sandbox.path, 'driver.yaml')
    const helper = { name: 'service', command: ['/bin/false'], ready: 'false', belongs: 'node' }
    writeFileSync(file, JSON.stringify({ ...STORE, helpers: [helper] }))
    const { status, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'run', '--driver', file], { timeout: 60_000 })
    assert.equal(status, 1)
    assert.match(stderr, /cannot be tested: helpers: the helper service ended before it was ready \(exit status 1\)/)
  })

  it('has calls that take longer than a call may by default, and as long as callTimeout says', async () => {
    await using sandbox = new Sandbox()
    const cells = ['--failure', 'plugin-killed', '--mitigation', 'as-is', '--consumer', 'opens-anew']
    const file = { ...STORE, env: { ...STORE.env, STORE_SLOW: '4000' }, callTimeout: 60, watch: 30 }
    const { record, stdout } = await runDriver(sandbox, file, cells)
    assert.doesNotMatch(stdout, /callTimeout/)
    const all = [record.firstUse, ...record.cells]
    assert.equal(all.length, 2)
    for (const cell of all) {
      assert.deepEqual(
        cell?.consumers.map(({ reads }) => [reads.wrong, reads.failed]),
        [[0, {}]],
      )
      const said = cell.events.map(({ text }) => text).filter((text) => /DEADLINE_EXCEEDED|ABORTED/.test(text))
      assert.deepEqual([said, cell.teardown?.newPod?.saw], [[], 'right'])
    }
  })

  it('has calls that take longer than it says: the check names callTimeout', async () => {
    await using sandbox = new Sandbox()
    const path = join(sandbox.path, 'driver.yaml')
    const { callTimeout: _longer, ...file } = { ...STORE, env: { ...STORE.env, STORE_SLOW: '10000' } }
    writeFileSync(path, JSON.stringify(file))
    const { status, stdout } = await sandbox.run(EXECUTABLE, ['lab', 'driver', 'check', path], {
      timeout: 120_000,
      env: { ...process.env, TMPDIR: sandbox.path },
    })
    assert.equal(status, 1, stdout)
    // The driver answers ABORTED until its first attempt is done. On a busy machine that may take longer than attempts are made.
    assert.match(
      stdout,
      /^wrong {6}file: NodePublishVolume( \(\d+ attempts\))?: no answer within 3 s \(callTimeout\) in \d+ of \d+ attempts; say a longer callTimeout, unless the driver hangs/m,
    )
  })

  it('has a cure that comes late seen, if the file says how long to wait', async () => {
    await using sandbox = new Sandbox()
    const cells = ['--failure', 'target-unmounted', '--mitigation', 'as-is', '--consumer', 'slave-folder']
    const { cells: seen } = (await runDriver(sandbox, { ...STORE, env: { ...STORE.env, STORE_HEALS: 4000 }, watch: 30 }, cells))
      .record
    // Between the unmount and the cure it finds the bare folder, and writes there.
    assert.equal(seen[0]?.consumers[0]?.seen, 'writes-to-host-recovers')
  })
})
