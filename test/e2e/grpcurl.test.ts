import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { type Result, Sandbox } from '../support/sandbox.ts'
import { GRPCURL } from '../support/tools.ts'

/** grpcurl with the plugin's socket between its flags and its words. */
async function grpcurl(sandbox: Sandbox, plugin: Plugin, args: readonly string[], request?: object): Promise<Result> {
  assert.ok(existsSync(GRPCURL), `${GRPCURL} is missing; run scripts/test --setup-only`)
  const data = request === undefined ? [] : ['-d', JSON.stringify(request)]
  return await sandbox.run(GRPCURL, ['-plaintext', '-unix', ...data, `unix://${plugin.socket}`, ...args])
}

void test('grpcurl runs a volume’s whole life by hand, without a proto file', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--role', 'identity,node,controller', '--nodeid', 'node-7'] })
  const volume_capability = { mount: {}, access_mode: { mode: 'MULTI_NODE_READER_ONLY' } }
  const staging_target_path = sandbox.directory('staging')
  const target_path = join(sandbox.path, 'target')
  const volumeId = 'by-hand'
  const staged = { volume_id: volumeId, staging_target_path }
  const call = async (method: string, request: object = {}): Promise<Record<string, unknown>> => {
    const { status, stdout, stderr } = await grpcurl(sandbox, plugin, [`csi.v1.${method}`], request)
    assert.equal(status, 0, stderr)
    return JSON.parse(stdout) as Record<string, unknown>
  }
  assert.deepEqual((await call('Identity/GetPluginInfo')).name, 'dummy-fuse-csi')
  assert.deepEqual(await call('Identity/Probe'), { ready: true })
  assert.deepEqual(await call('Node/NodeGetInfo'), { nodeId: 'node-7' })
  const capabilities = async (method: string): Promise<unknown[]> =>
    ((await call(method)).capabilities as { rpc: { type: string } }[]).map(({ rpc }) => rpc.type)
  assert.deepEqual(await capabilities('Node/NodeGetCapabilities'), [
    'STAGE_UNSTAGE_VOLUME',
    'GET_VOLUME_STATS',
    'SINGLE_NODE_MULTI_WRITER',
    'GET_VOLUME_HEALTH',
    'GET_STORAGE_HEALTH',
  ])
  assert.deepEqual(await capabilities('Controller/ControllerGetCapabilities'), [
    'CREATE_DELETE_VOLUME',
    'LIST_VOLUMES',
    'GET_CAPACITY',
    'GET_VOLUME',
    'SINGLE_NODE_MULTI_WRITER',
    'GET_VOLUME_HEALTH',
    'LIST_VOLUME_HEALTH',
  ])
  const { volume } = await call('Controller/CreateVolume', { name: 'pvc-1', volume_capabilities: [volume_capability] })
  const made = (volume as { volumeId: string }).volumeId
  assert.equal(((await call('Controller/ListVolumes')).entries as unknown[]).length, 1)
  assert.deepEqual(await call('Node/NodeStageVolume', { ...staged, volume_capability }), {})
  assert.deepEqual(await call('Node/NodePublishVolume', { ...staged, target_path, volume_capability }), {})
  assert.ok(await serves(sandbox, target_path))
  const { usage } = await call('Node/NodeGetVolumeStats', { volume_id: volumeId, volume_path: target_path })
  assert.deepEqual(
    (usage as { unit: string }[]).map(({ unit }) => unit),
    ['BYTES', 'INODES'],
  )
  assert.deepEqual(await call('Node/NodeGetVolumeHealth', { volume_id: volumeId }), { volumeHealth: { volumeId } })
  assert.deepEqual(await call('Node/NodeGetStorageHealth'), {})
  await t.test('an error shows its status and words', async () => {
    const { status, stderr } = await grpcurl(sandbox, plugin, ['csi.v1.Node/NodeUnstageVolume'], staged)
    assert.notEqual(status, 0)
    assert.match(stderr, /Code: FailedPrecondition\n\s+Message: volume .* is still published at /)
  })
  assert.deepEqual(await call('Node/NodeUnpublishVolume', { volume_id: volumeId, target_path }), {})
  assert.deepEqual(await call('Node/NodeUnstageVolume', staged), {})
  assert.deepEqual(await call('Controller/DeleteVolume', { volume_id: made }), {})
  assert.deepEqual([...sandbox.mounts(), ...plugin.entries(), ...plugin.daemons()], [])
})

const SYMBOLS: Readonly<Record<string, RegExp>> = {
  'csi.v1.Node': /is a service:/,
  'csi.v1.Node.NodePublishVolume': /is a method:/,
  'csi.v1.NodePublishVolumeRequest': /is a message:[^]*staging_target_path = 3;/,
  'csi.v1.NodePublishVolumeRequest.volume_id': /is a field:/,
  'csi.v1.VolumeCapability.MountVolume': /is a message:/,
  'csi.v1.VolumeCapability.access_type': /is a one-of:/,
  'csi.v1.VolumeCapability.AccessMode.Mode': /is an enum:/,
  'csi.v1.VolumeCapability.AccessMode.SINGLE_NODE_WRITER': /is an enum value:/,
  'csi.v1.csi_secret': /is an extension:/,
  'grpc.health.v1.Health': /is a service:/,
  'google.protobuf.Timestamp': /is a message:/,
}

void test('reflection lists the services and describes each kind of symbol', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const services = [
    'csi.v1.Controller',
    'csi.v1.Identity',
    'csi.v1.Node',
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
  ]
  assert.deepEqual((await grpcurl(sandbox, plugin, ['list'])).stdout.trim().split('\n'), services)
  const { stdout } = await grpcurl(sandbox, plugin, ['list', 'csi.v1.Node'])
  assert.ok(stdout.split('\n').includes('csi.v1.Node.NodeGetVolumeHealth'), stdout)
  assert.match((await grpcurl(sandbox, plugin, ['describe'])).stdout, /csi\.v1\.Controller is a service/)
  for (const [symbol, expected] of Object.entries(SYMBOLS)) {
    await t.test(symbol, async () => {
      const described = await grpcurl(sandbox, plugin, ['describe', symbol])
      assert.match(described.stdout, expected, described.stderr)
    })
  }
  for (const unknown of ['csi.v1.Nothing', 'csi.v1.Node.Nothing', 'csi.v1.Volume.nothing', 'nothing', 'csi.v1']) {
    await t.test(`${unknown} is not there`, async () => {
      const { status, stderr } = await grpcurl(sandbox, plugin, ['describe', unknown])
      assert.notEqual(status, 0)
      assert.match(stderr, /not found/i)
    })
  }
})

void test('the gRPC health service speaks for the server and each service', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const check = async (service: string): Promise<Result> =>
    await grpcurl(sandbox, plugin, ['grpc.health.v1.Health/Check'], { service })
  for (const service of ['', 'csi.v1.Identity', 'csi.v1.Node', 'csi.v1.Controller']) {
    assert.deepEqual(JSON.parse((await check(service)).stdout), { status: 'SERVING' })
  }
  assert.match((await check('csi.v1.Nothing')).stderr, /Code: NotFound/)
  const { stdout } = await grpcurl(sandbox, plugin, ['grpc.health.v1.Health/List'], {})
  assert.equal(Object.keys((JSON.parse(stdout) as { statuses: object }).statuses).length, 4)
})
