import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { Node } from '../../src/rpc/csi_pb.ts'
import type { VolumeReport } from '../../src/volumes/health.ts'
import { outcome } from '../support/csi-client.ts'
import { layersAt, mountAt, serves } from '../support/mounts.ts'
import { DUMMY_FUSE, EXECUTABLE } from '../support/paths.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

/** Makes a folder for PATH whose stat(1) is this shell script; returns the PATH. */
function pathWithStat(sandbox: Sandbox, script: string): string {
  const folder = sandbox.directory('bin')
  writeFileSync(join(folder, 'stat'), `#!/bin/sh\n${script}\n`)
  chmodSync(join(folder, 'stat'), 0o755)
  return `${folder}:${process.env.PATH ?? ''}`
}

/** What `status --json` says of a single volume: the states of its staging path and its target, and its findings. */
async function statesIn(sandbox: Sandbox, plugin: Plugin, env: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const { stdout } = await sandbox.run(EXECUTABLE, ['status', '--json', '--state-dir', plugin.stateDir], {
    env: { ...process.env, ...env },
  })
  const { volumes } = JSON.parse(stdout) as { volumes: VolumeReport[] }
  return volumes.flatMap(({ state, targets, findings }) => [
    state,
    ...targets.map((one) => one.state),
    ...findings.map(({ reason }) => reason),
  ])
}

const FAILING = {
  'is killed': 'kill -KILL $$',
  'is not allowed to ask': 'echo "stat: cannot read file system information for \'x\': Permission denied" >&2; exit 1',
  'says nothing': 'exit 1',
  'answers in another form': 'echo well',
}

for (const [how, script] of Object.entries(FAILING)) {
  void test(`a question that ${how} says nothing of a mount: UNAVAILABLE, and nothing is taken off or killed for it`, async () => {
    await using sandbox = new Sandbox()
    // Alone, because systemd-run would look the daemon's executable up in PATH too.
    using plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'detached'] })
    const volume = new Volume(sandbox, plugin, 'volume')
    await volume.publish()
    const [pid, { device }] = [volume.daemon(), mountAt(volume.staging)]
    await plugin.kill()
    const env = { PATH: pathWithStat(sandbox, script) }
    using second = await Plugin.start(sandbox, { args: ['--fuse-host', 'detached'], env })
    await second.logged(`failed to remount ${volume.staging}: cannot ask ${volume.staging} for its state`)
    const { code, details } = await outcome(second.stage(volume.id, volume.staging))
    assert.equal(code, 'UNAVAILABLE')
    assert.match(details, /^cannot ask .* for its state: stat\(1\) .*; call again$/)
    const health = await outcome(second.call(Node.method.nodeGetVolumeHealth, { volumeId: volume.id }))
    assert.deepEqual([health.code, health.details], ['UNAVAILABLE', details])
    assert.deepEqual(await statesIn(sandbox, second, env), ['UNKNOWN', 'UNKNOWN', 'StateUnknown'])
    assert.equal(mountAt(volume.staging).device, device)
    assert.equal(layersAt(volume.target).length, 1)
    assert.equal(volume.daemon(), pid)
    assert.ok(await serves(sandbox, volume.target))
  })
}

void test('a mount that is well is not hung because the process that asks has had no processor yet', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'detached'] })
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  const [pid, { device }] = [volume.daemon(), mountAt(volume.staging)]
  await plugin.kill()
  // Longer than a mount that is hung is asked.
  const env = { PATH: pathWithStat(sandbox, 'sleep 3; exec /usr/bin/stat "$@"') }
  using second = await Plugin.start(sandbox, { args: ['--fuse-host', 'detached'], env })
  await second.stage(volume.id, volume.staging)
  assert.equal(mountAt(volume.staging).device, device)
  assert.equal(volume.daemon(), pid)
  assert.ok(await serves(sandbox, volume.target))
})

void test('calls that come together ask a hung connection once', async () => {
  await using sandbox = new Sandbox()
  const asked = join(sandbox.path, 'asked')
  const env = { PATH: pathWithStat(sandbox, `echo asked >> ${asked}; exec /usr/bin/stat "$@"`) }
  using plugin = await Plugin.start(sandbox, { env })
  const hung = sandbox.directory('hung')
  const daemon = sandbox.start(DUMMY_FUSE, ['-f', hung])
  await eventually('it is mounted', () => layersAt(hung).length === 1)
  await stop(daemon.pid)
  const unpublish = async (volumeId: string): ReturnType<typeof outcome> =>
    await outcome(plugin.call(Node.method.nodeUnpublishVolume, { volumeId, targetPath: join(hung, volumeId, 'target') }))
  for (const { code, details } of await Promise.all(['a', 'b', 'c', 'd'].map(unpublish))) {
    assert.equal(code, 'FAILED_PRECONDITION')
    assert.match(details, /a hung fuse.dummy-fuse mount/)
  }
  assert.equal(readFileSync(asked, 'utf8'), 'asked\n')
  process.kill(daemon.pid, 'SIGCONT')
  await eventually('the mount is known to be well again', async () => !(await unpublish('a')).details.includes('hung'))
})

void test('a process that only looks like a volume’s daemon is not taken for it, and is not killed', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'detached'] })
  const volume = new Volume(sandbox, plugin, 'volume')
  const file = join(sandbox.path, 'dummy-fuse')
  copyFileSync('/bin/bash', file)
  const stranger = sandbox.start(file, ['-c', 'read line', volume.staging])
  await eventually('the stranger has its name', () => processStat(stranger.pid)?.comm === 'dummy-fuse')
  await stop(stranger.pid)
  await volume.publish()
  const { device } = mountAt(volume.staging)
  await plugin.kill()
  await plugin.restart()
  await volume.publish()
  assert.equal(mountAt(volume.staging).device, device, 'the live mount was replaced')
  await volume.unpublish()
  await volume.unstage()
  assert.equal(processStat(stranger.pid)?.state, 'T')
  assert.ok(!existsSync(volume.target))
})
