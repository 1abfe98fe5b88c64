import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Node } from '../../src/rpc/csi_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { layersAt, serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

/** NodeStageVolume with a deadline of its client, in milliseconds. */
async function stageWithin(plugin: Plugin, volume: Volume, deadline: number): ReturnType<typeof outcome> {
  const request = { volumeId: volume.id, stagingTargetPath: volume.staging, volumeCapability: volume.capability }
  return await outcome(plugin.client.call(Node.method.nodeStageVolume, request, deadline))
}

function assertUntouched(plugin: Plugin, volume: Volume): void {
  assert.deepEqual(plugin.daemons(), [])
  assert.deepEqual(layersAt(volume.staging), [])
  assert.deepEqual(plugin.entries(), [])
}

for (const [what, args, deadline] of [
  // Long enough for the whole margin of a second, in which a busy machine undoes and answers.
  ['the deadline of its client', [], 6000],
  ['--call-deadline', ['--call-deadline', '2.5'], 10_000],
] as const) {
  void test(`a call that is not done by ${what} is answered before it, and has undone its work by then`, async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox, { args: ['--inject', 'init-hang', ...args] })
    const volume = new Volume(sandbox, plugin, 'volume')
    const { code, details } = await stageWithin(plugin, volume, deadline)
    assert.equal(code, 'DEADLINE_EXCEEDED')
    // The client's own words for a deadline are others.
    assert.match(details, /dummy-fuse did not handle INIT within \d\.\d s and was killed/)
    assertUntouched(plugin, volume)
  })
}

void test('a call whose client goes away stops, undoes what it began, and leaves a volume that can be staged', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--inject', 'mount-delay=6', '--call-deadline', '60'] })
  const volume = new Volume(sandbox, plugin, 'volume')
  const gone = new AbortController()
  const request = { volumeId: volume.id, stagingTargetPath: join(volume.staging, 'deep'), volumeCapability: volume.capability }
  const called = outcome(plugin.client.call(Node.method.nodeStageVolume, request, 10_000, gone.signal))
  await eventually('a daemon starts', () => plugin.daemons().length > 0)
  gone.abort()
  assert.equal((await called).code, 'CANCELLED')
  await eventually('the daemon is gone', () => plugin.daemons().length === 0)
  await eventually('the directory that was made is gone', () => !existsSync(request.stagingTargetPath))
  assertUntouched(plugin, volume)
  await plugin.logged('code = Canceled')
  await volume.stage()
  assert.ok(await serves(sandbox, volume.staging))
})

void test('a daemon that is killed while Stage waits for it is UNAVAILABLE: calling again helps', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--inject', 'init-hang'] })
  const volume = new Volume(sandbox, plugin, 'volume')
  const staged = outcome(volume.stage())
  const [pid] = await eventually('a daemon starts', () => (plugin.daemons().length > 0 ? plugin.daemons() : undefined))
  assert.ok(pid !== undefined)
  process.kill(pid, 'SIGKILL')
  const { code, details } = await staged
  assert.equal(code, 'UNAVAILABLE')
  assert.match(details, /dummy-fuse was ended by SIGKILL before its mount was ready/)
  assertUntouched(plugin, volume)
})

void test('a call that comes after its deadline begins nothing', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await plugin.call(Node.method.nodeGetCapabilities)
  await stop(plugin.pid)
  const { code } = await stageWithin(plugin, volume, 300)
  assert.equal(code, 'DEADLINE_EXCEEDED')
  process.kill(plugin.pid, 'SIGCONT')
  // Calls are read in their order.
  await plugin.call(Node.method.nodeGetCapabilities)
  assertUntouched(plugin, volume)
  assert.ok(!plugin.log().includes('exec dummy-fuse'), plugin.log())
})
