import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess, processorTime } from '../support/fused.ts'
import { layersAt, optionsAt, serves } from '../support/mounts.ts'
import { devicesOf, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** Sessions whose INIT is never answered: more than libuv's pool has threads. */
const STUCK = 6

describe('dummy-fused beside mounts whose INIT is not answered', () => {
  it('mounts and unmounts others at once, and uses no processor time for those that wait', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const stuck = Array.from({ length: STUCK }, (_, at) => sandbox.directory(`stuck${at}`))
    let ended = 0
    const calls = stuck.map(async (path) => {
      const result = await outcome(fused.mount(path, { faults: ['init-hang'], deadlineMs: 10_000 }))
      ended++
      return result
    })
    await eventually('their devices are open', () => devicesOf(fused.pid) === STUCK)
    const before = processorTime(fused.pid)
    const begun = performance.now()
    const well = sandbox.directory('well')
    await fused.mount(well)
    assert.ok(await serves(sandbox, well))
    assert.equal(await fused.unmount(well), true)
    assert.equal(ended, 0, 'the others still wait')
    const results = await Promise.all(calls)
    assert.deepEqual(
      results.map(({ code }) => code),
      stuck.map(() => 'DEADLINE_EXCEEDED'),
    )
    const share = (processorTime(fused.pid) - before) / (performance.now() - begun)
    assert.ok(share < 0.5, `it used ${(share * 100).toFixed(0)} % of a processor while it had nothing to do`)
    assert.deepEqual(
      stuck.flatMap((path) => layersAt(path)),
      [],
    )
    // A client that gives up by itself has its answer before the daemon has undone all.
    await eventually('their records and devices are gone', () => fused.records().length + devicesOf(fused.pid) === 0)
  })

  it('shows a mount at its path only once INIT is answered', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const path = sandbox.directory('mnt')
    const call = outcome(fused.mount(path, { faults: ['init-hang'], deadlineMs: 6000 }))
    await eventually('the device is open', () => devicesOf(fused.pid) === 1)
    assert.deepEqual(layersAt(path), [])
    assert.equal((await call).code, 'DEADLINE_EXCEEDED')
  })
})

describe('dummy-fused where fsopen(2) is missing or forbidden', { concurrency: 2 }, () => {
  for (const errno of ['ENOSYS', 'EPERM']) {
    const by = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fsopen', '-e', `inject=fsopen:error=${errno}`]
    it(`mounts by mount(2), and takes off what it cannot serve: ${errno}`, async () => {
      await using sandbox = new Sandbox()
      const fused = await FusedProcess.start(sandbox, { by })
      const path = sandbox.directory('mnt')
      const failed = await outcome(fused.mount(path, { faults: ['init-hang'], deadlineMs: 3000 }))
      assert.equal(failed.code, 'DEADLINE_EXCEEDED', failed.details)
      // strace makes undoing slow: the client may give up by itself before.
      await eventually('nothing of it is left', () => layersAt(path).length + fused.records().length === 0)
      await fused.mount(path, { options: ['ro', 'noatime', 'allow_other'] })
      assert.ok(await serves(sandbox, path))
      assert.deepEqual(optionsAt(path).slice(0, 4), ['ro', 'nosuid', 'nodev', 'noatime'])
      assert.equal((await fused.call(Fused.method.list)).sessions.length, 1)
      assert.equal(await fused.unmount(path), true)
      assert.deepEqual(sandbox.mounts(), [])
    })
  }
})
