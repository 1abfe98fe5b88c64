import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { layersAt, mount, serves } from '../support/mounts.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** A dummy-fused whose state folder can be made read-only. */
async function start(sandbox: Sandbox): Promise<{ readonly fused: FusedProcess; readonly readOnly: (on: boolean) => void }> {
  const state = sandbox.directory('fused-state')
  mount('--bind', state, state)
  const fused = await FusedProcess.start(sandbox, { keep: [] })
  return { fused, readOnly: (on) => mount('-o', `remount,bind,${on ? 'ro' : 'rw'}`, state) }
}

describe('dummy-fused whose state folder cannot be written to', () => {
  it('goes on when a session ends whose record cannot be removed, and removes it later', async () => {
    await using sandbox = new Sandbox()
    const { fused, readOnly } = await start(sandbox)
    const [ends, stays] = [sandbox.directory('ends'), sandbox.directory('stays')]
    for (const path of [ends, stays]) await fused.mount(path)
    const { pid } = fused
    readOnly(true)
    assert.equal((await sandbox.run('umount', [ends])).status, 0)
    await fused.logged(/cannot remove the record .*read-only file system/i)
    assert.deepEqual(await fused.paths(), [stays])
    assert.ok(await serves(sandbox, stays))
    assert.equal(fused.pid, pid)
    readOnly(false)
    await eventually('the record is removed', () => fused.records().length === 1)
  })

  it('answers a Mount with its reason and leaves nothing of it, and answers Unmount', async () => {
    await using sandbox = new Sandbox()
    const { fused, readOnly } = await start(sandbox)
    const [fails, stays] = [sandbox.directory('fails'), sandbox.directory('stays')]
    await fused.mount(stays)
    const { pid } = fused
    readOnly(true)
    const { code, details } = await outcome(fused.mount(fails))
    assert.equal(code, 'UNAVAILABLE')
    assert.match(details, /read-only file system/i)
    assert.deepEqual(layersAt(fails), [])
    assert.equal(await fused.unmount(stays), true)
    assert.deepEqual([await fused.paths(), layersAt(stays)], [[], []])
    assert.equal(fused.pid, pid)
    readOnly(false)
    await eventually('the record is removed', () => fused.records().length === 0)
    await fused.mount(fails)
  })

  it('takes over sessions and becomes ready', async () => {
    await using sandbox = new Sandbox()
    const { fused, readOnly } = await start(sandbox)
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const { pid } = fused
    await fused.call(Fused.method.drain)
    // The daemon that drains still answers for a moment.
    await eventually('there is a successor', () => sandbox.processes('dummy-fused').some((one) => one !== pid))
    await fused.answers()
    readOnly(true)
    await fused.replace()
    assert.ok(await serves(sandbox, path))
    readOnly(false)
    await fused.unmount(path)
  })
})
