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
}

/** How many wait at the same time, each for an answer of its own. */
const READERS = 200

/**
 * A volume whose reads take some seconds, and readers that wait for one each; with direct_io, since a cached page is asked for once. All of them are to wait at the
 * same time, also on a machine that takes seconds to start 200 processes. Where dummy-fused is `replaceable`, another build of it is in place.
 */
async function inFlight(sandbox: Sandbox, options: KeptFusedOptions = {}): Promise<Slow> {
  const fused = await KeptFused.start(sandbox, options)
  const path = sandbox.directory('mnt')
  await fused.mount(path, ['read-delay=6'], ['direct_io'])
  // Before a reader waits: a copy of the executable takes as long as a read.
  if (options.replaceable === true) fused.replaceExecutable()
  const script = `for i in $(seq ${READERS}); do cat ${join(path, 'dummy-file.txt')} & done; wait`
  const readers = sandbox.start('sh', ['-c', script])
  await eventually(`${READERS} requests are pending`, async () => (await fused.inspect(path)).pending === BigInt(READERS))
  return { fused, path, readers }
}

async function assertAllRight(sandbox: Sandbox, { fused, path, readers }: Slow): Promise<void> {
  const { stdout, stderr } = await endOf(readers)
  assert.equal(stderr, '')
  assert.equal(stdout, GREETING.repeat(READERS))
  await fused.ready()
  await fused.unmount(path)
  assert.deepEqual(sandbox.mounts(), [])
  assert.deepEqual(await fused.leftovers(), NOTHING_KEPT)
}

describe('a takeover with requests that were read and not answered', () => {
  it('answers those of 200 readers after a kill', async () => {
    await using sandbox = new Sandbox()
    const slow = await inFlight(sandbox)
    await slow.fused.kill()
    await assertAllRight(sandbox, slow)
  })

  it('answers those of 200 readers after three kills in a row', async () => {
    await using sandbox = new Sandbox()
    const slow = await inFlight(sandbox)
    for (let i = 0; i < 3; i++) await slow.fused.another(await slow.fused.kill())
    await assertAllRight(sandbox, slow)
  })

  it('answers those of 200 readers before it ends for an upgrade', async () => {
    await using sandbox = new Sandbox()
    const slow = await inFlight(sandbox, { replaceable: true, args: ['--drain-deadline', '9'] })
    await slow.fused.upgrade()
    await assertAllRight(sandbox, slow)
    assert.doesNotMatch(slow.fused.log(), /still unanswered/)
  })

  it('leaves those of 200 readers to the successor when its drain deadline has come', async () => {
    await using sandbox = new Sandbox()
    const slow = await inFlight(sandbox, { replaceable: true, args: ['--drain-deadline', '0.1'] })
    await slow.fused.upgrade()
    await assertAllRight(sandbox, slow)
    assert.match(slow.fused.log(), /still unanswered/)
  })

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

  it('leaves nothing of a mount that was under way', async (t) => {
    await using sandbox = new Sandbox()
    const fused = await KeptFused.start(sandbox)
    for (const fault of ['mount-delay=60', 'init-hang'] as const) {
      for (const times of ['once', 'twice'] as const) {
        await t.test(`${fault}, killed ${times}`, async () => {
          const path = sandbox.directory(`${fault} ${times}`)
          const seen = fused.log().length
          const mounting = outcome(fused.mount(path, [fault]))
          await eventually('it mounts', () => fused.log().slice(seen).includes('Fused/Mount'))
          let last = await fused.kill()
          if (times === 'twice') {
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
})
