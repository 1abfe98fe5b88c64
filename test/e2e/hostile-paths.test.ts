import assert from 'node:assert/strict'
import { existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { outcome } from '../support/csi-client.ts'
import { layersAt, mount, serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

void test('no volume is mounted where it would harm the node, the plugin or another volume', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  await sandbox.run('ln', ['-s', '/proc', join(sandbox.path, 'proc')])
  const places = [
    ...[
      '/proc',
      '/proc/1',
      '/proc/self/fd',
      '/proc/sys/x',
      '/sys',
      '/sys/fs/fuse/x',
      '/dev',
      '/dev/shm/x',
      join(sandbox.path, 'proc/1'),
    ],
    ...[
      plugin.stateDir,
      join(plugin.stateDir, 'mountcache'),
      join(plugin.stateDir, 'new/x'),
      join(plugin.stateDir, 'mountcache/staged'),
    ],
    ...[sandbox.path, dirname(sandbox.path), '/tmp', plugin.socket, join(plugin.socket, 'x')],
    ...[join(volume.target, 'x'), join(volume.staging, 'x'), dirname(volume.target), dirname(dirname(volume.staging))],
  ].filter((path) => path !== '/tmp' || sandbox.path.startsWith('/tmp/'))
  const mounts = sandbox.mounts()
  for (const path of places) {
    await t.test(path.replace(sandbox.path, '.'), async () => {
      const calls = {
        Stage: () => plugin.stage('other', path),
        'Publish to': () => plugin.publish('volume', volume.staging, path),
        'Publish from': () => plugin.publish('other', path, join(sandbox.path, 'free')),
      }
      for (const [rpc, call] of Object.entries(calls)) {
        const { code, details } = await outcome(call())
        assert.equal(code, 'FAILED_PRECONDITION', `${rpc}: ${details}`)
      }
      // The CO takes back what it was refused: there is nothing to do, or something else is mounted there.
      for (const call of [() => plugin.unpublish('other', path), () => plugin.unstage('other', path)])
        assert.match((await outcome(call())).code, /^(OK|FAILED_PRECONDITION)$/)
      assert.deepEqual(sandbox.mounts(), mounts)
    })
  }
  assert.ok(!existsSync(join(sandbox.path, 'free')))
  assert.ok(await serves(sandbox, volume.target))
  await volume.becomesWell()
  await volume.unpublish()
  await volume.unstage()
})

void test('--allowed-root narrows where volumes are mounted, and no link is followed below it', async (t) => {
  await using sandbox = new Sandbox()
  const roots = ['one', 'two'].map((name) => sandbox.directory(name)) as [string, string]
  const outside = sandbox.directory('outside')
  symlinkSync('one', join(sandbox.path, 'kubelet'))
  symlinkSync(outside, join(roots[0], 'link'))
  const args = ['--allowed-root', join(sandbox.path, 'kubelet'), '--allowed-root', roots[1]]
  using plugin = await Plugin.start(sandbox, { args })
  const staging = join(sandbox.path, 'kubelet', 'staging')
  mkdirSync(staging)
  await plugin.stage('volume', staging)
  await plugin.publish('volume', staging, join(roots[1], 'pods', 'mount'))
  assert.ok(await serves(sandbox, join(roots[1], 'pods', 'mount')))
  for (const path of [
    outside,
    join(outside, 'x'),
    roots[0],
    `${roots[0]}x`,
    join(roots[0], '../outside/x'),
    join(roots[0], 'link/x'),
    '/mnt/x',
  ]) {
    await t.test(path.replace(sandbox.path, '.'), async () => {
      for (const call of [() => plugin.stage('other', path), () => plugin.publish('volume', staging, path)]) {
        const { code, details } = await outcome(call())
        assert.equal(code, 'FAILED_PRECONDITION', details)
        assert.match(details, /allowed root/)
      }
      await plugin.unpublish('other', path).catch(() => undefined)
      assert.deepEqual(layersAt(path), [])
    })
  }
  await plugin.kill()
  await plugin.restart()
  assert.ok(await serves(sandbox, join(roots[1], 'pods', 'mount')))
  // A plugin whose roots are others mounts nothing again, and takes off what it finds.
  await plugin.unpublish('volume', join(roots[1], 'pods', 'mount'))
  await plugin.unstage('volume', staging)
  assert.deepEqual([...sandbox.mounts(), ...plugin.entries()], [])
})

void test('an allowed root that is not there ends the plugin with one line', async () => {
  await using sandbox = new Sandbox()
  for (const root of [join(sandbox.path, 'absent'), '/etc/passwd']) {
    const { status, stderr } = await Plugin.fails(sandbox, { args: ['--allowed-root', root] })
    assert.equal(status, 1)
    assert.match(stderr, new RegExp(`cannot use --allowed-root ${root}: .*; make it, or name another`))
  }
})

void test('entries below a root that is allowed no more are not mounted again, and can be taken off', async () => {
  await using sandbox = new Sandbox()
  const volumes = sandbox.directory('volumes')
  sandbox.directory('others')
  using plugin = await Plugin.start(sandbox)
  await plugin.stage('volume', join(volumes, 'staging'))
  await plugin.publish('volume', join(volumes, 'staging'), join(volumes, 'target'))
  await plugin.kill()
  await sandbox.run('umount', ['-l', join(volumes, 'target')])
  await sandbox.run('umount', ['-l', join(volumes, 'staging')])
  await plugin.restart(['--allowed-root', join(sandbox.path, 'others')])
  assert.deepEqual(sandbox.mounts(), [])
  assert.match(plugin.log(), /failed to remount .*staging: .* does not lie below an allowed root/)
  await plugin.unpublish('volume', join(volumes, 'target'))
  await plugin.unstage('volume', join(volumes, 'staging'))
  assert.deepEqual(plugin.entries(), [])
})

void test('the same holds on shared mounts, and what is mounted outside stays as it is', async () => {
  await using sandbox = new Sandbox()
  mount('--bind', sandbox.path, sandbox.path)
  mount('--make-shared', sandbox.path)
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  assert.equal((await outcome(plugin.stage('other', join(volume.target, 'x')))).code, 'FAILED_PRECONDITION')
  assert.equal(layersAt(volume.target).length, 1)
  await volume.unpublish()
  await volume.unstage()
})
