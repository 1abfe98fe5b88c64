import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { Node } from '../../src/rpc/csi_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { layersAt, mountAt, optionsAt, serves } from '../support/mounts.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

void test("a second call that contradicts the first ends as the CSI spec's tables say, and changes nothing", async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  const other = new Volume(sandbox, plugin, 'other')
  for (const one of [volume, other]) {
    await one.stage()
    await one.publish()
  }
  const paths = [volume.staging, volume.target, other.staging, other.target]
  const before = paths.map(layersAt)
  const { id, staging, target } = volume
  const free = join(sandbox.path, 'free')
  const rows: readonly (readonly [string, () => Promise<unknown>, string])[] = [
    ['Stage again', () => volume.stage(), 'OK'],
    [
      'Stage with other mount flags',
      () => plugin.stage(id, staging, mountCapability('MULTI_NODE_READER_ONLY', ['allow_other'])),
      'ALREADY_EXISTS',
    ],
    ['Stage with another access mode', () => plugin.stage(id, staging, mountCapability('SINGLE_NODE_WRITER')), 'ALREADY_EXISTS'],
    [
      'Stage with another file system type',
      () => plugin.stage(id, staging, mountCapability('MULTI_NODE_READER_ONLY', [], 'fuse')),
      'ALREADY_EXISTS',
    ],
    ["Stage at another volume's staging path", () => plugin.stage(id, other.staging), 'FAILED_PRECONDITION'],
    ["Stage at another volume's target", () => plugin.stage(id, other.target), 'FAILED_PRECONDITION'],
    ['Publish again', () => volume.publish(), 'OK'],
    ['Publish read-only what is not', () => volume.publish(target, true), 'ALREADY_EXISTS'],
    [
      'Publish with another access mode',
      () => plugin.publish(id, staging, target, { capability: mountCapability('SINGLE_NODE_WRITER') }),
      'ALREADY_EXISTS',
    ],
    ["Publish at another volume's target", () => plugin.publish(id, staging, other.target), 'FAILED_PRECONDITION'],
    ["Publish at another volume's staging path", () => plugin.publish(id, staging, other.staging), 'FAILED_PRECONDITION'],
    ["Publish from another volume's staging path", () => plugin.publish(id, other.staging, free), 'FAILED_PRECONDITION'],
    ["Publish from another volume's target", () => plugin.publish(id, other.target, free), 'FAILED_PRECONDITION'],
    ["Unpublish another volume's target", () => plugin.unpublish(id, other.target), 'FAILED_PRECONDITION'],
    ['Unpublish a staging path', () => plugin.unpublish(id, staging), 'FAILED_PRECONDITION'],
    ['Unpublish what was never published', () => plugin.unpublish(id, free), 'OK'],
    ["Unstage another volume's staging path", () => plugin.unstage(id, other.staging), 'FAILED_PRECONDITION'],
    ['Unstage while it is published', () => volume.unstage(), 'FAILED_PRECONDITION'],
    ['Unstage what was never staged', () => plugin.unstage('never', free), 'OK'],
  ]
  for (const [title, call, expected] of rows) {
    await t.test(`${title}: ${expected}`, async () => {
      const { code, details } = await outcome(call())
      assert.equal(code, expected, details)
      assert.deepEqual(paths.map(layersAt), before)
      assert.deepEqual([...(await volume.reasons()), ...(await other.reasons())], [], 'a refused call made a volume unhealthy')
    })
  }
})

/** Seconds in which a busy machine has started the daemons of several volumes, two at the same time, or one after the other. */
const MANY_STARTS = 60

type Mode = NonNullable<Parameters<typeof mountCapability>[0]>

const SECOND_TARGET: readonly (readonly [Mode, string])[] = [
  ['SINGLE_NODE_WRITER', 'FAILED_PRECONDITION'],
  ['SINGLE_NODE_READER_ONLY', 'FAILED_PRECONDITION'],
  ['SINGLE_NODE_SINGLE_WRITER', 'FAILED_PRECONDITION'],
  ['SINGLE_NODE_MULTI_WRITER', 'OK'],
  ['MULTI_NODE_READER_ONLY', 'OK'],
  ['MULTI_NODE_SINGLE_WRITER', 'OK'],
  ['MULTI_NODE_MULTI_WRITER', 'OK'],
]

void test('a second target is for the access modes that allow several', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  for (const [mode, expected] of SECOND_TARGET) {
    await t.test(`${mode}: ${expected}`, async () => {
      const volume = new Volume(sandbox, plugin, mode, mountCapability(mode))
      await volume.stage()
      await volume.publish()
      const second = volume.another('second')
      assert.equal((await outcome(volume.publish(second))).code, expected)
      assert.equal(layersAt(second).length, expected === 'OK' ? 1 : 0)
      await volume.unpublish()
      assert.equal((await outcome(volume.publish(second))).code, 'OK', 'the first target is free again')
    })
  }
})

void test('of two calls for one volume, or for one path, the second is ABORTED; other volumes go on', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--inject', 'mount-delay=1'], callDeadline: MANY_STARTS })
  const [one, two, three] = ['one', 'two', 'three'].map((id) => new Volume(sandbox, plugin, id)) as [Volume, Volume, Volume]
  const calls = {
    stage: one.stage(),
    'stage again': one.stage(),
    unstage: one.unstage(),
    publish: one.publish(),
    unpublish: one.unpublish(),
    'stage another volume there': plugin.stage('thief', one.staging),
    'publish another volume there': plugin.publish('thief', three.staging, one.staging),
    'stage a second volume': two.stage(),
    'publish a third volume': three.publish(),
  }
  const codes = await Promise.all(Object.entries(calls).map(async ([title, call]) => [title, (await outcome(call)).code] as const))
  assert.deepEqual(Object.fromEntries(codes), {
    stage: 'OK',
    'stage again': 'ABORTED',
    unstage: 'ABORTED',
    publish: 'ABORTED',
    unpublish: 'ABORTED',
    'stage another volume there': 'ABORTED',
    'publish another volume there': 'ABORTED',
    'stage a second volume': 'OK',
    'publish a third volume': 'OK',
  })
  assert.equal(layersAt(one.staging).length, 1)
  assert.equal(plugin.daemons().length, 3)
  await one.publish()
  assert.ok(await serves(sandbox, one.target))
})

void test('a hundred calls at once leave each volume mounted once or not at all', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { callDeadline: MANY_STARTS })
  const other = new Volume(sandbox, plugin, 'other')
  const volumes = Array.from({ length: 5 }, (_, index) => new Volume(sandbox, plugin, `volume-${index}`))
  const codes = await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const volume = volumes[index % 5] ?? other
      const calls = [() => volume.stage(), () => volume.publish(), () => volume.unpublish(), () => volume.unstage()] as const
      return (await outcome(calls[Math.floor(index / 5) % 4]?.() ?? Promise.reject(new Error('no call')))).code
    }),
  )
  // Unstage finds the volume published where it comes late enough.
  const allowed = ['OK', 'ABORTED', 'FAILED_PRECONDITION']
  assert.deepEqual(
    codes.filter((code) => !allowed.includes(code)),
    [],
  )
  for (const volume of volumes) {
    await volume.publish()
    assert.equal(layersAt(volume.staging).length, 1)
    assert.equal(layersAt(volume.target).length, 1)
    await volume.unpublish()
    await volume.unstage()
  }
  assert.deepEqual([...plugin.daemons(), ...plugin.entries(), ...sandbox.mounts()], [])
})

void test('readonly makes the target read-only and leaves the staging path and other targets as they are', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  const writable = volume.another('writable')
  await volume.publish(writable)
  for (let call = 0; call < 2; call++) {
    await volume.publish(volume.target, true)
    assert.ok(mountAt(volume.target).readonly)
  }
  assert.equal(optionsAt(volume.target)[0], 'ro')
  assert.ok(!mountAt(volume.staging).readonly)
  assert.ok(!mountAt(writable).readonly)
  const { status, stderr } = await sandbox.run('touch', [join(volume.target, 'new')])
  assert.equal(status, 1)
  assert.match(stderr, /Read-only file system/)
  await plugin.kill()
  await plugin.restart()
  assert.ok(mountAt(volume.target).readonly, 'restored as it was')
  assert.ok(!mountAt(writable).readonly, 'restored as it was')
})

void test('mount flags reach the session and its binds', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const flags = ['ro', 'noexec', 'noatime', 'fsname=my-name']
  const volume = new Volume(sandbox, plugin, 'volume', mountCapability('MULTI_NODE_READER_ONLY', flags))
  await volume.publish(volume.target, true)
  for (const path of [volume.staging, volume.target]) {
    const options = optionsAt(path)
    for (const flag of ['ro', 'noexec', 'nosuid', 'nodev', 'noatime'])
      assert.ok(options.includes(flag), `${path}: ${options.join()}`)
    assert.equal(mountAt(path).source, 'my-name')
  }
})

void test('the mount flag allow_other admits consumers that are not root, and nothing else does', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const open = new Volume(sandbox, plugin, 'open', mountCapability('MULTI_NODE_READER_ONLY', ['allow_other']))
  const closed = new Volume(sandbox, plugin, 'closed')
  const asNobody = async (directory: string): ReturnType<Sandbox['run']> =>
    await sandbox.run('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', 'cat', 'dummy-file.txt'], { cwd: directory })
  await open.publish()
  await closed.publish()
  assert.equal((await asNobody(open.target)).stdout, 'Hello world!\n')
  assert.match((await asNobody(closed.target)).stderr, /Permission denied/)
  const base = ['rw', 'nosuid', 'nodev', 'relatime', 'user_id=0', 'group_id=0']
  assert.deepEqual(optionsAt(open.target), [...base, 'allow_other'])
  assert.deepEqual(optionsAt(closed.target), base)
})

void test('NodeGetInfo gives --nodeid and NodeGetCapabilities what is there, and nothing that is not', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--nodeid', 'node-7'] })
  assert.equal((await plugin.call(Node.method.nodeGetInfo)).nodeId, 'node-7')
  const { capabilities } = await plugin.call(Node.method.nodeGetCapabilities)
  assert.equal(capabilities.length, 5)
  assert.equal(
    (await outcome(plugin.call(Node.method.nodeExpandVolume, { volumeId: 'v', volumePath: '/v' }))).code,
    'UNIMPLEMENTED',
  )
})
