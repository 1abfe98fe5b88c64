import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { KeptFused, type KeptFusedOptions, NOTHING_KEPT } from '../support/chaos-kept.ts'
import { outcome } from '../support/csi-client.ts'
import { endOf } from '../support/mounting.ts'
import { GREETING, serves } from '../support/mounts.ts'
import { type Running, Sandbox } from '../support/sandbox.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

interface Slow {
  readonly fused: KeptFused
  readonly path: string
  /** Readers whose requests dummy-fused has read and not answered. */
  readonly readers: Running
  readonly count: number
}

/**
 * A volume whose reads take some seconds, and readers that wait for one each; with direct_io, since a cached page is asked for once. All of them are to wait at the
 * same time, also on a machine that takes seconds to start 200 processes. Where dummy-fused is `replaceable`, another build of it is in place.
 */
async function inFlight(sandbox: Sandbox, count: number, options: KeptFusedOptions = {}): Promise<Slow> {
  const fused = await KeptFused.start(sandbox, options)
  const path = sandbox.directory('mnt')
  await fused.mount(path, [`read-delay=${count > 1 ? 6 : 2}`], ['direct_io'])
  // Before a reader waits: a copy of the executable takes as long as a read.
  if (options.replaceable === true) fused.replaceExecutable()
  const script = `for i in $(seq ${count}); do cat ${join(path, 'dummy-file.txt')} & done; wait`
  const readers = sandbox.start('sh', ['-c', script])
  await eventually(`${count} requests are pending`, async () => (await fused.inspect(path)).pending === BigInt(count))
  return { fused, path, readers, count }
}

async function assertAllRight(sandbox: Sandbox, { fused, path, readers, count }: Slow): Promise<void> {
  const { stdout, stderr } = await endOf(readers)
  assert.equal(stderr, '')
  assert.equal(stdout, GREETING.repeat(count))
  await fused.ready()
  await fused.unmount(path)
  assert.deepEqual(sandbox.mounts(), [])
  assert.deepEqual(await fused.leftovers(), NOTHING_KEPT)
}

describe('a takeover with requests that were read and not answered', () => {
  for (const count of [1, 200]) {
    it(`answers those of ${count} readers after a kill`, async () => {
      await using sandbox = new Sandbox()
      const slow = await inFlight(sandbox, count)
      await slow.fused.kill()
      await assertAllRight(sandbox, slow)
    })

    it(`answers those of ${count} readers after three kills in a row`, async () => {
      await using sandbox = new Sandbox()
      const slow = await inFlight(sandbox, count)
      for (let i = 0; i < 3; i++) await slow.fused.another(await slow.fused.kill())
      await assertAllRight(sandbox, slow)
    })

    it(`answers those of ${count} readers before it ends for an upgrade`, async () => {
      await using sandbox = new Sandbox()
      const slow = await inFlight(sandbox, count, { replaceable: true, args: ['--drain-deadline', '9'] })
      await slow.fused.upgrade()
      await assertAllRight(sandbox, slow)
      assert.doesNotMatch(slow.fused.log(), /still unanswered/)
    })

    it(`leaves those of ${count} readers to the successor when its drain deadline has come`, async () => {
      await using sandbox = new Sandbox()
      const slow = await inFlight(sandbox, count, { replaceable: true, args: ['--drain-deadline', '0.1'] })
      await slow.fused.upgrade()
      await assertAllRight(sandbox, slow)
      assert.match(slow.fused.log(), /still unanswered/)
    })
  }

  it('ends a reader that was interrupted while there was no daemon', async () => {
    await using sandbox = new Sandbox()
    const fused = await KeptFused.start(sandbox)
    const path = sandbox.directory('mnt')
    await fused.mount(path, ['read-delay=60'], ['direct_io'])
    const reader = sandbox.start('cat', [join(path, 'dummy-file.txt')])
    await eventually('its request is pending', async () => (await fused.inspect(path)).pending === 1n)
    const pid = fused.pid() ?? 0
    await stop(pid)
    reader.child.kill('SIGTERM')
    process.kill(pid, 'SIGKILL')
    assert.equal((await endOf(reader)).signal, 'SIGTERM')
    await fused.ready(pid)
    await fused.unmount(path)
    assert.deepEqual(await fused.leftovers(), NOTHING_KEPT)
  })

  for (const fault of ['mount-delay=60', 'init-hang'] as const) {
    for (const times of [1, 2]) {
      it(`leaves nothing of a mount that was under way (${fault}), killed ${times === 1 ? 'once' : 'twice'}`, async () => {
        await using sandbox = new Sandbox()
        const fused = await KeptFused.start(sandbox)
        const path = sandbox.directory('mnt')
        const mounting = outcome(fused.mount(path, [fault]))
        await fused.logged(/Fused\/Mount/)
        let last = await fused.kill()
        if (times === 2) {
          last = await fused.another(last)
          await fused.kill()
        }
        assert.equal((await mounting).code, 'UNAVAILABLE')
        await fused.ready(last)
        assert.deepEqual(sandbox.mounts(), [])
        await fused.mount(path)
        assert.ok(await serves(sandbox, path))
        await fused.unmount(path)
        assert.deepEqual(await fused.leftovers(), NOTHING_KEPT)
      })
    }
  }
})
