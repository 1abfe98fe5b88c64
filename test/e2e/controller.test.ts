import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { Controller, type CreateVolumeRequestSchema, Identity, type VolumeSchema } from '../../src/rpc/csi_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'

const ROLE = { args: ['--role', 'identity,node,controller'] }
const GIB = 2n ** 30n
const { createVolume, deleteVolume, listVolumes, getCapacity, controllerGetVolume, validateVolumeCapabilities } = Controller.method

async function make(
  plugin: Plugin,
  name: string,
  request: MessageInitShape<typeof CreateVolumeRequestSchema> = {},
): Promise<MessageShape<typeof VolumeSchema>> {
  const { volume } = await plugin.call(createVolume, { name, volumeCapabilities: [mountCapability()], ...request })
  if (volume === undefined) throw new Error('CreateVolume gave no volume')
  return volume
}

async function ids(plugin: Plugin): Promise<string[]> {
  return (await plugin.call(listVolumes)).entries.map(({ volume }) => volume?.volumeId ?? '')
}

/** The files that hold the records. */
function records(plugin: Plugin): string[] {
  return readdirSync(join(plugin.stateDir, 'volumes')).sort()
}

void test('a volume is a record: made once, found, listed, kept over a restart, deleted', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, ROLE)
  const before = (await plugin.call(getCapacity)).availableCapacity
  const volume = await make(plugin, 'pvc-1', { capacityRange: { requiredBytes: 5n * GIB, limitBytes: 9n * GIB } })
  assert.equal(volume.capacityBytes, 5n * GIB)
  assert.deepEqual(volume.volumeContext, { name: 'pvc-1' })
  const again = await make(plugin, 'pvc-1', { capacityRange: { requiredBytes: 2n * GIB } })
  assert.deepEqual(again, volume)
  const conflict = make(plugin, 'pvc-1', { capacityRange: { requiredBytes: 6n * GIB } })
  assert.equal((await outcome(conflict)).code, 'ALREADY_EXISTS')
  assert.equal((await plugin.call(getCapacity)).availableCapacity, before - 5n * GIB)
  await plugin.kill()
  await plugin.restart()
  assert.deepEqual(await ids(plugin), [volume.volumeId])
  const found = await plugin.call(controllerGetVolume, { volumeId: volume.volumeId })
  assert.deepEqual(found.volume, volume)
  for (let call = 0; call < 2; call++) await plugin.call(deleteVolume, { volumeId: volume.volumeId })
  assert.deepEqual(await ids(plugin), [])
  assert.deepEqual(records(plugin), [])
  assert.equal((await outcome(plugin.call(controllerGetVolume, { volumeId: volume.volumeId }))).code, 'NOT_FOUND')
  assert.equal((await plugin.call(getCapacity)).availableCapacity, before)
})

void test('CreateVolume refuses what cannot be, by the codes of the CSI spec', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, ROLE)
  const block = { accessType: { case: 'block', value: {} }, accessMode: { mode: 1 } } as const
  const rows: readonly (readonly [string, MessageInitShape<typeof CreateVolumeRequestSchema>, string])[] = [
    ['no name', { name: '' }, 'INVALID_ARGUMENT'],
    ['a name of 129 bytes', { name: 'x'.repeat(129) }, 'INVALID_ARGUMENT'],
    ['no capabilities', { volumeCapabilities: [] }, 'INVALID_ARGUMENT'],
    ['a capability without access type', { volumeCapabilities: [{ accessMode: { mode: 1 } }] }, 'INVALID_ARGUMENT'],
    ['block access', { volumeCapabilities: [mountCapability(), block] }, 'INVALID_ARGUMENT'],
    ['a source to copy from', { volumeContentSource: { type: { case: 'volume', value: { volumeId: 'v' } } } }, 'INVALID_ARGUMENT'],
    [
      'a mount flag that nobody knows',
      { volumeCapabilities: [mountCapability('SINGLE_NODE_WRITER', ['sparkle'])] },
      'INVALID_ARGUMENT',
    ],
    [
      'contents in the memory of one node for writers on several',
      { volumeCapabilities: [mountCapability('MULTI_NODE_MULTI_WRITER', ['writable'])] },
      'INVALID_ARGUMENT',
    ],
    ['parameters to be modified later', { mutableParameters: { speed: 'high' } }, 'INVALID_ARGUMENT'],
    ['a mount option among the parameters', { parameters: { tier: 'gold', writable: 'MARK-c0ffee' } }, 'INVALID_ARGUMENT'],
    ['mount options among the parameters', { parameters: { mountOptions: 'MARK-c0ffee' } }, 'INVALID_ARGUMENT'],
    ['a negative size', { capacityRange: { requiredBytes: -1n } }, 'INVALID_ARGUMENT'],
    ['a negative limit', { capacityRange: { limitBytes: -1n } }, 'INVALID_ARGUMENT'],
    ['more than the limit', { capacityRange: { requiredBytes: 2n, limitBytes: 1n } }, 'OUT_OF_RANGE'],
    ['more than there is', { capacityRange: { requiredBytes: 2n ** 62n } }, 'OUT_OF_RANGE'],
    ['one byte more than is left', { capacityRange: { requiredBytes: 2n ** 50n + 1n } }, 'OUT_OF_RANGE'],
  ]
  for (const [title, request, expected] of rows) {
    await t.test(`${title}: ${expected}`, async () => {
      const { code, details } = await outcome(make(plugin, 'volume', request))
      assert.equal(code, expected, details)
      for (const key of Object.keys(request.parameters ?? {})) {
        if (key !== 'tier') assert.match(details, new RegExp(`parameter '${key}' has no effect`))
      }
      assert.doesNotMatch(details, /c0ffee/)
    })
  }
  assert.deepEqual(records(plugin), [])
  const odd = ['../../evil', 'a/b', 'line\nfeed', '漢字', 'x'.repeat(128)]
  for (const name of odd) await make(plugin, name, { capacityRange: { limitBytes: 5n } })
  for (const file of records(plugin)) assert.match(file, /^[A-Za-z0-9_-]+\.json$/)
  const smallest = (await plugin.call(listVolumes)).entries
  assert.deepEqual(
    smallest.map(({ volume }) => volume?.capacityBytes),
    odd.map(() => 5n),
  )
})

void test('a name stands for the parameters that its volume was made with, also after a restart, and no file has them', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, ROLE)
  const claim = (uid: string) => ({ 'csi.storage.k8s.io/pvc/name': uid })
  const first = await make(plugin, 'pvc-1', { parameters: { tier: 'MARK-c0ffee', zone: 'b', ...claim('one') } })
  await plugin.kill()
  await plugin.restart()
  const again = await make(plugin, 'pvc-1', { parameters: { ...claim('two'), zone: 'b', tier: 'MARK-c0ffee' } })
  assert.deepEqual(again, first)
  for (const parameters of [
    {},
    { tier: 'silver', zone: 'b' },
    { tier: 'MARK-c0ffee' },
    { tier: 'MARK-c0ffee', zone: 'b', more: '' },
  ]) {
    const { code, details } = await outcome(make(plugin, 'pvc-1', { parameters }))
    assert.equal(code, 'ALREADY_EXISTS')
    assert.match(details, /exists with other parameters/)
  }
  const folder = join(plugin.stateDir, 'volumes')
  for (const file of records(plugin)) assert.ok(!readFileSync(join(folder, file), 'utf8').includes('c0ffee'))
  // A record of an earlier version does not tell.
  const [file = ''] = records(plugin)
  const { parameters: _, ...earlier } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Record<string, unknown>
  await plugin.kill()
  writeFileSync(join(folder, file), JSON.stringify(earlier))
  await plugin.restart()
  assert.deepEqual(await make(plugin, 'pvc-1', { parameters: { any: 'thing' } }), first)
})

void test('DeleteVolume leaves a volume that this node uses, and succeeds when it is unstaged', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, ROLE)
  const { volumeId } = await make(plugin, 'pvc-1')
  const [staging, target] = [sandbox.directory('staging'), join(sandbox.path, 'target')]
  const refused = async (path: string): Promise<void> => {
    const { code, details } = await outcome(plugin.call(deleteVolume, { volumeId }))
    assert.equal(code, 'FAILED_PRECONDITION')
    assert.ok(details.includes(`is in use at ${path}; unpublish and unstage it first`), details)
    assert.deepEqual(await ids(plugin), [volumeId])
  }
  await plugin.stage(volumeId, staging)
  await refused(staging)
  await plugin.publish(volumeId, staging, target)
  await refused(target)
  await plugin.kill()
  await plugin.restart()
  await refused(target)
  await plugin.unpublish(volumeId, target)
  await plugin.unstage(volumeId, staging)
  await plugin.call(deleteVolume, { volumeId })
  assert.deepEqual(await ids(plugin), [])
})

void test('DeleteVolume is ABORTED while the volume is being staged', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: [...ROLE.args, '--inject', 'mount-delay=8'], callDeadline: 30 })
  const { volumeId } = await make(plugin, 'pvc-1')
  const staging = sandbox.directory('staging')
  const first = plugin.stage(volumeId, staging)
  // The first to arrive has the lock once the second is refused.
  assert.equal((await outcome(plugin.stage(volumeId, staging))).code, 'ABORTED')
  const { code, details } = await outcome(plugin.call(deleteVolume, { volumeId }))
  assert.equal(code, 'ABORTED', details)
  assert.match(details, /^NodeStageVolume of volume .* is still under way; call DeleteVolume again later$/)
  await first
  assert.deepEqual(await ids(plugin), [volumeId])
  await plugin.unstage(volumeId, staging)
  await plugin.call(deleteVolume, { volumeId })
})

void test('ValidateVolumeCapabilities confirms what a volume can, says why not, and knows its volumes', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, ROLE)
  const { volumeId } = await make(plugin, 'volume')
  const validate = async (capabilities: Parameters<typeof plugin.stage>[2][]) =>
    await plugin.call(validateVolumeCapabilities, { volumeId, volumeCapabilities: capabilities.map((one) => one ?? {}) })
  const good = mountCapability('SINGLE_NODE_WRITER', [], 'fuse')
  const { confirmed, message } = await validate([good, good])
  assert.equal(confirmed?.volumeCapabilities.length, 2)
  assert.equal(message, '')
  for (const bad of [
    mountCapability('SINGLE_NODE_WRITER', [], 'xfs'),
    mountCapability('SINGLE_NODE_WRITER', ['sparkle']),
    { accessMode: { mode: 1 as const } },
  ]) {
    const refused = await validate([good, bad])
    assert.equal(refused.confirmed, undefined)
    assert.notEqual(refused.message, '')
  }
  assert.equal((await outcome(validate([]))).code, 'INVALID_ARGUMENT')
  const unknown = plugin.call(validateVolumeCapabilities, { volumeId: 'unknown', volumeCapabilities: [good] })
  assert.equal((await outcome(unknown)).code, 'NOT_FOUND')
})

void test('pages of ListVolumes hold each volume once, whatever is deleted and made between them', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, ROLE)
  const names = Array.from({ length: 10 }, (_, index) => `volume-${index}`)
  for (const name of names) await make(plugin, name)
  const all = await ids(plugin)
  assert.deepEqual(all, [...all].sort())
  const seen: string[] = []
  let startingToken = ''
  do {
    const { entries, nextToken } = await plugin.call(listVolumes, { maxEntries: 3, startingToken })
    const page = entries.map(({ volume }) => volume?.volumeId ?? '')
    seen.push(...page)
    // The last of a page is what its token speaks of, the first of all was seen.
    for (const volumeId of [page.at(-1), all[0]]) if (volumeId !== undefined) await plugin.call(deleteVolume, { volumeId })
    startingToken = nextToken
  } while (startingToken !== '')
  assert.deepEqual(seen, all)
  for (const [request, code] of [
    [{ startingToken: 'invalid-token' }, 'ABORTED'],
    [{ maxEntries: -1 }, 'INVALID_ARGUMENT'],
    [{ maxEntries: 1000 }, 'OK'],
  ] as const) {
    assert.equal((await outcome(plugin.call(listVolumes, request))).code, code)
  }
})

void test('a damaged record is reported and left alone, and the others are there', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, ROLE)
  const { volumeId } = await make(plugin, 'volume')
  await plugin.kill()
  const folder = join(plugin.stateDir, 'volumes')
  const damaged = {
    'garbage.json': '{',
    'negative.json': JSON.stringify({ version: 1, id: 'negative', name: 'n', capacity: -1 }),
    'foreign.json': JSON.stringify({ version: 1, id: 'other', name: 'n', capacity: 1 }),
  }
  for (const [name, text] of Object.entries(damaged)) writeFileSync(join(folder, name), text)
  writeFileSync(join(folder, `${volumeId}.json.0badcafe.partial`), '')
  await sandbox.run('mkfifo', [join(folder, 'pipe')])
  await plugin.restart()
  assert.deepEqual(await ids(plugin), [volumeId])
  const left = [...Object.keys(damaged), 'pipe']
  for (const name of left) assert.ok(plugin.log().includes(`Skipped damaged volume record ${join(folder, name)}`), plugin.log())
  assert.deepEqual(records(plugin), [...left, `${volumeId}.json`].sort())
})

void test('without the role the Controller is unadvertised and has no capabilities, but makes, deletes and validates volumes', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  assert.deepEqual((await plugin.call(Identity.method.getPluginCapabilities)).capabilities, [])
  assert.deepEqual((await plugin.call(Controller.method.controllerGetCapabilities)).capabilities, [])
  const { volumeId } = await make(plugin, 'volume')
  const volumeCapabilities = [mountCapability()]
  assert.ok((await plugin.call(validateVolumeCapabilities, { volumeId, volumeCapabilities })).confirmed)
  await plugin.call(deleteVolume, { volumeId })
  const { controllerGetVolumeHealth, controllerListVolumeHealth, controllerPublishVolume } = Controller.method
  const absent = [
    listVolumes,
    getCapacity,
    controllerGetVolume,
    controllerGetVolumeHealth,
    controllerListVolumeHealth,
    controllerPublishVolume,
  ]
  for (const method of absent) {
    assert.equal((await outcome(plugin.call(method as typeof listVolumes))).code, 'UNIMPLEMENTED', method.name)
  }
})

void test('with the role the Controller is advertised with what it does', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, ROLE)
  const { capabilities } = await plugin.call(Identity.method.getPluginCapabilities)
  assert.equal(capabilities.length, 1)
  assert.equal((await plugin.call(Controller.method.controllerGetCapabilities)).capabilities.length, 7)
})

void test('a plugin without the node role serves no Node service', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--role', 'identity,controller'] })
  assert.equal((await outcome(plugin.stage('volume', sandbox.directory('staging')))).code, 'UNIMPLEMENTED')
  await make(plugin, 'volume')
})
