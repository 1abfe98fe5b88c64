import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CallError } from '../support/csi-client.ts'
import { FUSED_UNIT, FusedMachine, NOTHING_LEFT } from '../support/fused-machine.ts'
import { FusedProcess } from '../support/fused.ts'
import { startKeep } from '../support/kept.ts'
import { serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

function isExhausted(error: unknown): boolean {
  assert.ok(error instanceof CallError)
  assert.equal(error.code, 'RESOURCE_EXHAUSTED')
  assert.match(
    error.message,
    /is not mounted: keep keeps the descriptors of 2 sessions and has no room for one more; raise keep's --store-max/,
  )
  return true
}

describe('a dummy-fused whose service manager keeps no more descriptors', () => {
  it('mounts no session that would not be kept, and all that are mounted outlive it', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: ['--store-max', '2'] })
    const paths = ['one', 'two', 'three', 'four', 'five'].map((name) => sandbox.directory(name))
    const outcomes = await Promise.allSettled(paths.map(async (path) => await fused.mount(path)))
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
    assert.equal(refused.length, 3)
    for (const { reason } of refused) isExhausted(reason)
    const mounted = paths.filter((_path, at) => outcomes[at]?.status === 'fulfilled')
    assert.deepEqual(await fused.paths(), mounted.toSorted())
    await fused.replace()
    for (const path of mounted) assert.ok(await serves(sandbox, path))
    const [first = '', second = ''] = mounted
    const [other = ''] = paths.filter((path) => !mounted.includes(path))
    await assert.rejects(fused.mount(other), isExhausted)
    // There is room again.
    assert.equal(await fused.unmount(first), true)
    await fused.mount(other)
    await fused.replace()
    for (const path of [second, other]) assert.ok(await serves(sandbox, path))
    assert.doesNotMatch(fused.log(), /no room for another descriptor/)
  })

  it('keeps nothing of a Stage that is answered RESOURCE_EXHAUSTED', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: ['--store-max', '2'] })
    using plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'service', '--fused-socket', fused.socket] })
    const [one, two, three] = ['one', 'two', 'three'].map((id) => new Volume(sandbox, plugin, id)) as [Volume, Volume, Volume]
    await one.stage()
    await two.stage()
    await assert.rejects(three.stage(), isExhausted)
    assert.ok(!sandbox.mounts().includes(three.staging))
    assert.equal(plugin.entries().length, 2)
    await one.unstage()
    await three.publish()
    await three.unpublish()
    for (const volume of [two, three]) await volume.unstage()
    assert.deepEqual(sandbox.mounts(), [])
  })

  it('hears of it from systemd', async () => {
    await using fused = await FusedMachine.start({ standby: false })
    const { plugin, machine } = fused
    const folder = join(machine.root, 'etc/systemd/system', `${FUSED_UNIT}.d`)
    await machine.output('mkdir', ['-p', `/etc/systemd/system/${FUSED_UNIT}.d`])
    writeFileSync(join(folder, 'store.conf'), '[Service]\nFileDescriptorStoreMax=2\n')
    await machine.systemctl('daemon-reload')
    await machine.systemctl('restart', FUSED_UNIT)
    await plugin.publish('one')
    await plugin.publish('two')
    await assert.rejects(
      plugin.publish('three'),
      /ResourceExhausted[^]*systemd keeps the descriptors of 2 sessions and has no room for one more; raise FileDescriptorStoreMax= of its unit/,
    )
    assert.equal(await fused.stored(), 2)
    for (const volume of ['one', 'two']) await plugin.unpublish(volume)
    assert.deepEqual(await fused.leftovers(), NOTHING_LEFT)
  })
})

describe('keep', () => {
  it('tells its program how many descriptors it stores', async () => {
    await using sandbox = new Sandbox()
    const kept = startKeep(sandbox, `say(os.environ['FDSTORE']); notify('READY=1'); wait()`, ['--store-max', '7'], {
      FDSTORE: '99',
    })
    assert.deepEqual(await kept.hear(1), ['7'])
  })

  it('logs few of a thousand states, and the last', async () => {
    await using sandbox = new Sandbox()
    const code = `
notify('READY=1')
for i in range(5000): notify('STATUS=state %d' % i + chr(10) + 'MAINPID=1')
barrier()
say('sent')
wait()`
    const begun = performance.now()
    const kept = startKeep(sandbox, code)
    await kept.hear(1)
    await kept.logs(/: state 4999\n/)
    // Ten in each period of ten seconds, and the last of those that were left out.
    const periods = Math.ceil((performance.now() - begun) / 10_000)
    const lines = kept.running.output().split('\n')
    const states = lines.filter((line) => line.includes(': state ')).length
    assert.ok(states >= 11 && states <= 11 * periods, `${states} states in ${periods} periods`)
    assert.match(kept.running.output(), /lines like the following were left out\n.*: state 4999\n/)
    assert.ok(lines.length < 50 * periods, `${lines.length} lines`)
  })
})
