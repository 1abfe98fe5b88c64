import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  Node,
  type NodePublishVolumeRequestSchema,
  type NodeStageVolumeRequestSchema,
  VolumeCapability_AccessMode_Mode as Mode,
} from '../../src/rpc/csi_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { layersAt, serves } from '../support/mounts.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'

type StageRequest = MessageInitShape<typeof NodeStageVolumeRequestSchema>
type PublishRequest = MessageInitShape<typeof NodePublishVolumeRequestSchema>

const BYTES_128 = 'x'.repeat(128)

/** What is wrong with a request, and the status it ends with. */
const CAPABILITIES: readonly (readonly [string, StageRequest, string])[] = [
  ['no capability', {}, 'INVALID_ARGUMENT'],
  ['neither mount nor block', { volumeCapability: { accessMode: { mode: Mode.SINGLE_NODE_WRITER } } }, 'INVALID_ARGUMENT'],
  ['no access mode', { volumeCapability: { accessType: { case: 'mount', value: {} } } }, 'INVALID_ARGUMENT'],
  ['access mode UNKNOWN', { volumeCapability: mountCapability('UNKNOWN') }, 'INVALID_ARGUMENT'],
  [
    'an access mode that nobody knows',
    { volumeCapability: { accessType: { case: 'mount', value: {} }, accessMode: { mode: 99 as never } } },
    'FAILED_PRECONDITION',
  ],
  [
    'block access',
    { volumeCapability: { accessType: { case: 'block', value: {} }, accessMode: { mode: Mode.SINGLE_NODE_WRITER } } },
    'FAILED_PRECONDITION',
  ],
  ['file system type ext4', { volumeCapability: mountCapability('SINGLE_NODE_WRITER', [], 'ext4') }, 'FAILED_PRECONDITION'],
  ['an unknown mount flag', flag('sparkle'), 'INVALID_ARGUMENT'],
  ['a mount flag that lacks its value', flag('max_read'), 'INVALID_ARGUMENT'],
  ['an empty mount flag', flag(''), 'INVALID_ARGUMENT'],
  ['a second option behind a comma', flag('fsname=a,allow_other'), 'INVALID_ARGUMENT'],
  ['a backslash that swallows a comma', flag('fsname=a\\'), 'INVALID_ARGUMENT'],
  ['a line feed in a mount flag', flag('fsname=a\nb'), 'INVALID_ARGUMENT'],
  ['a NUL in a mount flag', flag('fsname=a\0b'), 'INVALID_ARGUMENT'],
  ['a subtype that would hide the mount from us', flag('subtype=other'), 'INVALID_ARGUMENT'],
]

const PATHS: readonly (readonly [string, string, string])[] = [
  ['missing', '', 'INVALID_ARGUMENT'],
  ['relative', 'some/path', 'INVALID_ARGUMENT'],
  ['the root directory', '/', 'INVALID_ARGUMENT'],
  ['the root directory in other words', '//tmp/../.', 'INVALID_ARGUMENT'],
  ['with a NUL', '/tmp/a\0b', 'INVALID_ARGUMENT'],
  ['with a name of 256 bytes', `/tmp/absent/${'n'.repeat(256)}`, 'INVALID_ARGUMENT'],
  ['of 4096 bytes', `/tmp/${'0123456789abcde/'.repeat(256)}`.slice(0, 4096), 'INVALID_ARGUMENT'],
]

const IDS: readonly (readonly [string, string, string])[] = [
  ['missing', '', 'INVALID_ARGUMENT'],
  ['of 129 bytes', `${BYTES_128}x`, 'INVALID_ARGUMENT'],
  ['of 65 letters in 130 bytes', 'é'.repeat(65), 'INVALID_ARGUMENT'],
  ['with a NUL', 'a\0b', 'INVALID_ARGUMENT'],
]

function flag(mountFlag: string): StageRequest {
  return { volumeCapability: mountCapability('SINGLE_NODE_WRITER', [mountFlag]) }
}

void test('a request that asks for what cannot be ends with the status that the CSI spec names, and mounts nothing', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const stagingTargetPath = sandbox.directory('staging')
  const targetPath = join(sandbox.path, 'target')
  const stage: StageRequest = { volumeId: 'volume', stagingTargetPath, volumeCapability: mountCapability() }
  const publish: PublishRequest = { ...stage, targetPath }
  const { volumeCapability: _capability, ...bare } = stage
  const { nodeStageVolume, nodePublishVolume, nodeUnstageVolume, nodeUnpublishVolume, nodeGetVolumeStats } = Node.method
  const call = plugin.call.bind(plugin)
  const rows: (readonly [string, () => Promise<unknown>, string])[] = [
    ...CAPABILITIES.flatMap(([what, part, code]) => [
      [`Stage with ${what}`, () => call(nodeStageVolume, { ...bare, ...part }), code] as const,
      [`Publish with ${what}`, () => call(nodePublishVolume, { ...bare, targetPath, ...part } as PublishRequest), code] as const,
    ]),
    ...PATHS.flatMap(([what, path, code]) => [
      [`Stage at a path ${what}`, () => call(nodeStageVolume, { ...stage, stagingTargetPath: path }), code] as const,
      [`Publish at a path ${what}`, () => call(nodePublishVolume, { ...publish, targetPath: path }), code] as const,
      [`Unstage a path ${what}`, () => call(nodeUnstageVolume, { volumeId: 'v', stagingTargetPath: path }), code] as const,
      [`Unpublish a path ${what}`, () => call(nodeUnpublishVolume, { volumeId: 'v', targetPath: path }), code] as const,
    ]),
    ...IDS.flatMap(([what, volumeId, code]) => [
      [`Stage an id ${what}`, () => call(nodeStageVolume, { ...stage, volumeId }), code] as const,
      [`Publish an id ${what}`, () => call(nodePublishVolume, { ...publish, volumeId }), code] as const,
      [`Unstage an id ${what}`, () => call(nodeUnstageVolume, { volumeId, stagingTargetPath }), code] as const,
      [`Unpublish an id ${what}`, () => call(nodeUnpublishVolume, { volumeId, targetPath }), code] as const,
      [`stats of an id ${what}`, () => call(nodeGetVolumeStats, { volumeId, volumePath: '/tmp' }), code] as const,
      [`health of an id ${what}`, () => call(Node.method.nodeGetVolumeHealth, { volumeId }), code] as const,
    ]),
    ['Publish without a staging path', () => call(nodePublishVolume, { ...publish, stagingTargetPath: '' }), 'FAILED_PRECONDITION'],
    [
      'Publish to the staging path itself',
      () => call(nodePublishVolume, { ...publish, targetPath: `${stagingTargetPath}/.` }),
      'INVALID_ARGUMENT',
    ],
    ['Stage at a file', () => call(nodeStageVolume, { ...stage, stagingTargetPath: '/etc/passwd' }), 'FAILED_PRECONDITION'],
    ['Stage at a symbolic link', () => call(nodeStageVolume, { ...stage, stagingTargetPath: '/proc/self' }), 'FAILED_PRECONDITION'],
  ]
  for (const [title, act, expected] of rows) {
    await t.test(`${title}: ${expected}`, async () => {
      const { code, details } = await outcome(act())
      assert.equal(code, expected, details)
      assert.notEqual(details, '')
    })
  }
  assert.deepEqual(sandbox.mounts(), [])
  assert.deepEqual(plugin.daemons(), [])
  assert.deepEqual(plugin.entries(), [])
  assert.ok(!existsSync(targetPath))
})

void test('every access mode and every name of our file system type is served', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const modes = Object.keys(Mode).filter((name): name is keyof typeof Mode => Number.isNaN(Number(name)) && name !== 'UNKNOWN')
  const types = ['', 'fuse', 'fuse.dummy-fuse', 'dummy-fuse']
  const capabilities = [
    ...modes.map((mode) => mountCapability(mode)),
    ...types.map((type) => mountCapability('SINGLE_NODE_WRITER', [], type)),
  ]
  assert.equal(capabilities.length, 11)
  for (const [index, capability] of capabilities.entries()) {
    const staging = sandbox.directory(`staging-${index}`)
    const target = join(sandbox.path, `target-${index}`)
    await plugin.stage(`volume-${index}`, staging, capability)
    await plugin.publish(`volume-${index}`, staging, target, { capability })
    assert.ok(await serves(sandbox, target))
    await plugin.unpublish(`volume-${index}`, target)
    await plugin.unstage(`volume-${index}`, staging)
  }
  assert.deepEqual(plugin.daemons(), [])
})

const NAMES = [
  '..',
  '.',
  '../../../../../../etc/cron.d/evil',
  '/etc/passwd',
  'a/b',
  'line\nfeed',
  'tab\tand\\backslash \\040',
  ' ',
  'Ünïcödé ✓ 漢字',
  '$(touch injected) `id` \'quoted\' "twice"',
  '-f',
  '--inject=mount-fail',
  'a,allow_other',
  '%41%s',
  BYTES_128,
  '\u202ereversed\u0007\u001b[31m',
]

void test('a volume lives its whole life under any id and at any path, and its entries stay in the cache folder', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const before = readdirSync(sandbox.path).sort()
  for (const [index, name] of NAMES.entries()) {
    await t.test(JSON.stringify(name), async () => {
      const folder = name.replaceAll('/', '_').replace(/^\.+$/, 'dots')
      const staging = sandbox.directory('paths', String(index), folder, 'staging')
      const target = join(sandbox.path, 'paths', String(index), folder, 'target')
      await plugin.stage(name, `${staging}/../staging/`)
      await plugin.publish(name, staging, `${target}/`)
      assert.equal(layersAt(staging).length, 1)
      assert.ok(await serves(sandbox, target))
      assert.deepEqual(await plugin.reasons(name), [])
      const entries = plugin.entries()
      assert.equal(entries.length, 2)
      for (const entry of entries) assert.match(entry, /^(staged|published)\/[A-Za-z0-9_-]{1,100}\.json$/)
      await plugin.kill()
      await plugin.restart()
      assert.deepEqual(await plugin.reasons(name), [], plugin.log())
      assert.ok(await serves(sandbox, target))
      await plugin.unpublish(name, target)
      await plugin.unstage(name, staging)
      assert.deepEqual([...layersAt(staging), ...layersAt(target), ...plugin.entries()], [])
    })
  }
  assert.deepEqual(plugin.daemons(), [])
  assert.deepEqual(readdirSync(sandbox.path).sort(), [...before, 'paths'].sort())
  assert.deepEqual(readdirSync(plugin.stateDir).sort(), ['mountcache', 'volumes'])
})

void test('two ids or targets that look alike in letters have entries of their own', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const ids = ['a/b', 'a_b', 'a b', 'a:b', 'A/b']
  for (const [index, id] of ids.entries()) await plugin.stage(id, sandbox.directory(`staging-${index}`))
  assert.equal(new Set(plugin.entries()).size, ids.length)
  for (const [index, id] of ids.entries()) await plugin.unstage(id, join(sandbox.path, `staging-${index}`))
  assert.deepEqual(plugin.entries(), [])
})
