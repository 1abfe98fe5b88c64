import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it, test } from 'node:test'
import { Node } from '../../src/rpc/csi_pb.ts'
import { MODES, startHosted } from '../model/hosts.ts'
import { outcome } from '../support/csi-client.ts'
import { ephemeralContext, placeOf, podTarget, publishEphemeral } from '../support/ephemeral.ts'
import { layersAt, mount, mountAt, optionsAt, serves, umountLazily } from '../support/mounts.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** An id as the kubelet makes one (kubernetes pkg/volume/csi/csi_util.go, makeVolumeHandle). */
const ID = `csi-${'0123456789abcdef'.repeat(4)}`

/** Nothing of a plugin's volumes is left: no mount, no entry, no directory. */
function assertNothingLeft(sandbox: Sandbox, plugin: Plugin, target: string): void {
  assert.deepEqual(sandbox.mounts(), [])
  assert.deepEqual(plugin.entries(), [])
  assert.ok(!existsSync(target), `${target} is still there`)
  const places = dirname(placeOf(plugin, ID))
  assert.deepEqual(existsSync(places) ? readdirSync(places) : [], [])
}

describe('an inline ephemeral volume has a session of its own from NodePublishVolume to NodeUnpublishVolume', () => {
  for (const mode of MODES) {
    it(mode, { timeout: 120_000 }, async () => {
      await using sandbox = new Sandbox()
      const { plugin, host } = await startHosted(mode, sandbox)
      using _ = plugin
      const target = podTarget(sandbox, 'one')
      await publishEphemeral(plugin, ID, target)
      await publishEphemeral(plugin, ID, target)
      assert.ok(await serves(sandbox, target))
      assert.equal(layersAt(target).length, 1)
      assert.equal(mountAt(target).device, mountAt(placeOf(plugin, ID)).device)
      assert.equal(await host.sessions(), 1)
      const { usage } = await plugin.call(Node.method.nodeGetVolumeStats, { volumeId: ID, volumePath: target })
      assert.equal(usage.length, 2)
      assert.deepEqual(await plugin.reasons(ID), [])
      await plugin.unpublish(ID, target)
      await plugin.unpublish(ID, target)
      assertNothingLeft(sandbox, plugin, target)
      await eventually('no session is served', async () => (await host.sessions()) === 0)
      assert.equal((await outcome(plugin.reasons(ID))).code, 'NOT_FOUND')
    })
  }
})

void test('NodePublishVolume without a staging path is for inline ephemeral volumes alone, and checks all that it is given', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const targetPath = podTarget(sandbox, 'one')
  const volumeCapability = mountCapability('SINGLE_NODE_WRITER')
  const persistent = { ...ephemeralContext('one'), 'csi.storage.k8s.io/ephemeral': 'false' }
  const publish = (request: object) =>
    plugin.call(Node.method.nodePublishVolume, { volumeId: ID, targetPath, volumeCapability, ...request })
  const context = (attributes: Record<string, string>) => ({ volumeContext: ephemeralContext('one', attributes) })
  const rows: readonly (readonly [string, object, string, RegExp])[] = [
    ['no context', {}, 'FAILED_PRECONDITION', /staging_target_path is missing.*podInfoOnMount/],
    ['a persistent volume', { volumeContext: persistent }, 'FAILED_PRECONDITION', /staging_target_path is missing/],
    ['an attribute that is not known', context({ share: 'x' }), 'INVALID_ARGUMENT', /attribute 'share' is unknown/],
    [
      'an option that a pod may not set',
      context({ mountOptions: 'ro,suid' }),
      'INVALID_ARGUMENT',
      /may not set mount option 'suid'/,
    ],
    [
      'an option that nobody knows',
      context({ mountOptions: 'sparkle' }),
      'INVALID_ARGUMENT',
      /mountOptions: unknown mount option 'sparkle'/,
    ],
    [
      'a staging path',
      { ...context({}), stagingTargetPath: sandbox.directory('staging') },
      'INVALID_ARGUMENT',
      /has no staging path/,
    ],
    ['no target', { ...context({}), targetPath: '' }, 'INVALID_ARGUMENT', /target_path is missing/],
    [
      'a target in the plugin’s folder',
      { ...context({}), targetPath: placeOf(plugin, 'x') },
      'FAILED_PRECONDITION',
      /lies in the plugin's/,
    ],
    ['a target that is a file', { ...context({}), targetPath: file(sandbox) }, 'FAILED_PRECONDITION', /is a file, not a directory/],
  ]
  for (const [title, request, code, says] of rows) {
    await t.test(`${title}: ${code}`, async () => {
      const failed = await outcome(publish(request))
      assert.equal(failed.code, code, failed.details)
      assert.match(failed.details, says)
    })
  }
  assertNothingLeft(sandbox, plugin, targetPath)
  await eventually('no daemon is left', () => plugin.daemons().length === 0)
})

function file(sandbox: Sandbox): string {
  const path = join(sandbox.path, 'file')
  writeFileSync(path, '')
  return path
}

void test('a pod’s mount options are those of its own session and target; an administrator’s count more', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const target = podTarget(sandbox, 'one')
  const capability = mountCapability('SINGLE_NODE_WRITER', ['uid=7'])
  await publishEphemeral(plugin, ID, target, ephemeralContext('one', { mountOptions: 'ro,noexec,uid=5,gid=6' }), { capability })
  for (const option of ['ro', 'noexec', 'nosuid', 'nodev']) assert.ok(optionsAt(target).includes(option), option)
  const { stdout } = await sandbox.run('stat', ['--format=%u:%g', join(target, 'dummy-file.txt')])
  assert.equal(stdout, '7:6\n')
  const other = publishEphemeral(plugin, ID, target, ephemeralContext('one', { mountOptions: 'noexec' }), { capability })
  assert.equal((await outcome(other)).code, 'ALREADY_EXISTS')
  const second = publishEphemeral(plugin, ID, podTarget(sandbox, 'two'), ephemeralContext('two'))
  assert.equal((await outcome(second)).code, 'FAILED_PRECONDITION')
  assert.ok(await serves(sandbox, target), 'the first target is as it was')
  await plugin.unpublish(ID, target)
  assertNothingLeft(sandbox, plugin, target)
})

void test('an id is of one kind: no persistent volume is staged under that of an inline ephemeral one, or the other way round', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const [target, staging] = [podTarget(sandbox, 'one'), sandbox.directory('staging')]
  await publishEphemeral(plugin, ID, target)
  for (const call of [() => plugin.stage(ID, staging), () => plugin.publish(ID, staging, podTarget(sandbox, 'two'))]) {
    const { code, details } = await outcome(call())
    assert.equal(code, 'FAILED_PRECONDITION')
    assert.match(details, /is an inline ephemeral volume on this node/)
  }
  await plugin.unpublish(ID, target)
  await plugin.stage(ID, staging)
  const { code, details } = await outcome(publishEphemeral(plugin, ID, target))
  assert.equal(code, 'FAILED_PRECONDITION')
  assert.match(details, /as a persistent volume/)
  await plugin.unstage(ID, staging)
  assertNothingLeft(sandbox, plugin, target)
})

void test('a killed plugin restores it; NodeUnpublishVolume ends it after that, and after a reboot', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const target = podTarget(sandbox, 'one')
  await publishEphemeral(plugin, ID, target)
  await plugin.kill()
  await plugin.restart()
  assert.ok(await serves(sandbox, target))
  assert.equal(layersAt(target).length, 1)
  await plugin.unpublish(ID, target)
  assertNothingLeft(sandbox, plugin, target)

  await publishEphemeral(plugin, ID, target)
  await reboot(sandbox, plugin)
  await plugin.restart()
  assert.ok(await serves(sandbox, target))
  await plugin.unpublish(ID, target)
  assertNothingLeft(sandbox, plugin, target)

  await publishEphemeral(plugin, ID, target)
  await reboot(sandbox, plugin)
  await plugin.restart(['--no-restore-mounts'])
  assert.ok(!(await serves(sandbox, target)))
  await plugin.unpublish(ID, target)
  assertNothingLeft(sandbox, plugin, target)
})

void test('after a reboot that has taken its pod’s folder, nothing of it is mounted again', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const target = podTarget(sandbox, 'one')
  await publishEphemeral(plugin, ID, target)
  await reboot(sandbox, plugin)
  rmSync(dirname(target), { recursive: true })
  await plugin.restart()
  await plugin.logged(`Ended the inline ephemeral volume ${ID}`)
  assertNothingLeft(sandbox, plugin, target)
  await plugin.unpublish(ID, target)
})

void test('a session whose target is gone, because the plugin was killed in NodeUnpublishVolume, ends with the next start or call', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--fuse-host', 'detached'] })
  const target = podTarget(sandbox, 'one')
  const cutShort = async (): Promise<void> => {
    await publishEphemeral(plugin, ID, target)
    await plugin.kill()
    const [entry = ''] = plugin.entries().filter((one) => one.startsWith('published/'))
    rmSync(join(plugin.stateDir, 'mountcache', entry))
    await sandbox.run('umount', [target])
    rmSync(target, { recursive: true })
  }
  await cutShort()
  await plugin.restart()
  await plugin.logged(`Ended the inline ephemeral volume ${ID}`)
  assertNothingLeft(sandbox, plugin, target)
  await cutShort()
  await plugin.restart(['--no-restore-mounts'])
  assert.deepEqual(sandbox.mounts(), [placeOf(plugin, ID)])
  await plugin.unpublish(ID, target)
  assertNothingLeft(sandbox, plugin, target)
  await eventually('no daemon is left', () => plugin.daemons().length === 0)
})

void test('a NodePublishVolume that fails leaves no session', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--inject', 'mount-fail'] })
  const target = podTarget(sandbox, 'one')
  assert.equal((await outcome(publishEphemeral(plugin, ID, target))).code, 'INTERNAL')
  assertNothingLeft(sandbox, plugin, target)
  await plugin.unpublish(ID, target)
  await plugin.kill()

  using second = await Plugin.start(sandbox, { name: 'second' })
  mkdirSync(target)
  mount('-t', 'tmpfs', 'tmpfs', target)
  const { code, details } = await outcome(publishEphemeral(second, ID, target))
  assert.equal(code, 'FAILED_PRECONDITION')
  assert.match(details, /is a mount point of tmpfs already/)
  assert.deepEqual(sandbox.mounts(), [target])
  umountLazily(target)
  await second.unpublish(ID, target)
  rmSync(target, { recursive: true, force: true })
  assertNothingLeft(sandbox, second, target)
  await eventually('no daemon is left', () => second.daemons().length === 0)
})

void test('--ephemeral-dir names where it is staged; a volume that is published ends where it was staged', async () => {
  await using sandbox = new Sandbox()
  const folder = join(sandbox.path, 'places')
  using plugin = await Plugin.start(sandbox, { args: ['--ephemeral-dir', folder] })
  const target = podTarget(sandbox, 'one')
  await publishEphemeral(plugin, ID, target)
  assert.equal(readdirSync(folder).length, 1)
  const refused = await outcome(plugin.stage('other', join(folder, 'x')))
  assert.equal(refused.code, 'FAILED_PRECONDITION')
  assert.match(refused.details, /lies in the plugin's folder of ephemeral volumes/)
  await plugin.kill()
  await plugin.restart(['--ephemeral-dir', join(sandbox.path, 'elsewhere')])
  await publishEphemeral(plugin, ID, target)
  assert.ok(await serves(sandbox, target))
  await plugin.unpublish(ID, target)
  assert.deepEqual(readdirSync(folder), [])
  assertNothingLeft(sandbox, plugin, target)
})

void test('the status names the pod of a target, and which volume is an inline ephemeral one; no token is in it or in a file', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const tokens = { 'csi.storage.k8s.io/serviceAccount.tokens': '{"":{"token":"MARK-c0ffee"}}' }
  const target = podTarget(sandbox, 'web-0')
  await publishEphemeral(plugin, ID, target, { ...ephemeralContext('web-0'), ...tokens })
  const [staging, other] = [sandbox.directory('staging'), podTarget(sandbox, 'web-1')]
  await plugin.stage('persistent', staging)
  const volumeContext = { ...ephemeralContext('web-1'), ...tokens, 'csi.storage.k8s.io/ephemeral': 'false', name: 'pvc-1' }
  await plugin.call(Node.method.nodePublishVolume, {
    volumeId: 'persistent',
    stagingTargetPath: staging,
    targetPath: other,
    volumeCapability: mountCapability(),
    volumeContext,
  })
  const status = async (...args: string[]): Promise<string> =>
    (await sandbox.run(EXECUTABLE, ['status', '--state-dir', plugin.stateDir, ...args])).stdout
  const text = await status()
  assert.ok(text.includes(`  ephemeral ${placeOf(plugin, ID)}  MOUNTED`), text)
  assert.ok(text.includes(`  published ${target}  MOUNTED  pod default/web-0`), text)
  assert.ok(text.includes(`  published ${other}  MOUNTED  pod default/web-1`), text)
  const json = await status('--json')
  const { volumes } = JSON.parse(json) as { volumes: { volumeId: string; ephemeral?: true; targets: { pod?: object }[] }[] }
  const inline = volumes.find(({ volumeId }) => volumeId === ID)
  assert.equal(inline?.ephemeral, true)
  assert.deepEqual(inline.targets[0]?.pod, { namespace: 'default', name: 'web-0', uid: 'uid-of-web-0' })
  assert.equal(volumes.find(({ volumeId }) => volumeId === 'persistent')?.ephemeral, undefined)
  const kept = plugin.entries().map((entry) => readFileSync(join(plugin.stateDir, 'mountcache', entry), 'utf8'))
  for (const words of [plugin.log(), text, json, ...kept]) assert.ok(!words.includes('MARK-c0ffee'))
  await plugin.unpublish(ID, target)
  await plugin.unpublish('persistent', other)
  await plugin.unstage('persistent', staging)
})

/** What a reboot leaves of a killed plugin's volumes: entries of another boot, and no mount. */
async function reboot(sandbox: Sandbox, plugin: Plugin): Promise<void> {
  await plugin.kill()
  for (const path of sandbox.mounts()) await sandbox.run('umount', ['-l', path])
  for (const entry of plugin.entries()) {
    const path = join(plugin.stateDir, 'mountcache', entry)
    const before = JSON.parse(readFileSync(path, 'utf8')) as object
    writeFileSync(path, JSON.stringify({ ...before, bootId: '00000000-0000-0000-0000-000000000000' }))
  }
}
