import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Controller, Identity, Node } from '../../src/rpc/csi_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

const STAMP = /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d /
const TOKENS = 'csi.storage.k8s.io/serviceAccount.tokens'

void test('calls are logged as the original logs them, counting, with the proto’s field names', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--nodeid', 'node-7'] })
  const volume = new Volume(sandbox, plugin, 'dummy-fuse-volume')
  await plugin.call(Identity.method.getPluginInfo)
  await plugin.call(Node.method.nodeGetInfo)
  await plugin.stage(volume.id, volume.staging, mountCapability('MULTI_NODE_MULTI_WRITER'))
  await plugin.publish(volume.id, volume.staging, volume.target, { capability: mountCapability('MULTI_NODE_MULTI_WRITER') })
  await outcome(plugin.stage('', volume.staging))
  await plugin.logged('desc = volume_id is missing')
  // The daemon logs this once it serves, beside the calls.
  await plugin.logged('INIT negotiated')
  const text = plugin.log()
  for (const line of text.trimEnd().split('\n')) assert.match(line, STAMP)
  const lines = plugin.lines()
  assert.equal(lines[0], 'Driver: dummy-fuse-csi')
  assert.match(lines[1] ?? '', /^Driver version: \S+ \(.+\)$/)
  const [, version = ''] = /^Driver version: (.*)$/.exec(lines[1] ?? '') ?? []
  const capability = '{"mount":{},"access_mode":{"mode":"MULTI_NODE_MULTI_WRITER"}}'
  const request = (fields: string): string => `{${fields},"volume_capability":${capability}}`
  const afterStart = lines.slice(lines.findIndex((line) => line.startsWith('[ID:1]')))
  const negotiated = `dummy-fuse[${volume.daemon()}]: ${volume.staging}: INIT negotiated: protocol 7.`
  const calls = afterStart.filter((line) => !line.startsWith(negotiated))
  assert.equal(afterStart.length - calls.length, 1)
  const staging = `"volume_id":"dummy-fuse-volume","staging_target_path":"${volume.staging}"`
  assert.deepEqual(calls, [
    '[ID:1] GRPC call: /csi.v1.Identity/GetPluginInfo',
    '[ID:1] GRPC request: {}',
    `[ID:1] GRPC response: {"name":"dummy-fuse-csi","vendor_version":"${version}"}`,
    '[ID:2] GRPC call: /csi.v1.Node/NodeGetInfo',
    '[ID:2] GRPC request: {}',
    '[ID:2] GRPC response: {"node_id":"node-7"}',
    '[ID:3] GRPC call: /csi.v1.Node/NodeStageVolume',
    `[ID:3] GRPC request: ${request(staging)}`,
    `exec dummy-fuse [-f --die-with-parent ${volume.staging}]`,
    `Saved stage mount entry to ${plugin.stateDir}/mountcache/${plugin.entries()[0] ?? ''}`,
    '[ID:3] GRPC response: {}',
    '[ID:4] GRPC call: /csi.v1.Node/NodePublishVolume',
    `[ID:4] GRPC request: ${request(`${staging},"target_path":"${volume.target}"`)}`,
    `Saved publish mount entry to ${plugin.stateDir}/mountcache/${plugin.entries()[1] ?? ''}`,
    '[ID:4] GRPC response: {}',
    '[ID:5] GRPC call: /csi.v1.Node/NodeStageVolume',
    `[ID:5] GRPC request: {"staging_target_path":"${volume.staging}","volume_capability":{"mount":{},"access_mode":{"mode":"MULTI_NODE_READER_ONLY"}}}`,
    '[ID:5] GRPC error: rpc error: code = InvalidArgument desc = volume_id is missing',
  ])
})

void test('the plugin’s log holds no secret and no token of a call, failed ones among them', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--role', 'identity,node,controller'] })
  const volume = new Volume(sandbox, plugin, 'volume')
  const hidden = {
    secrets: { password: 'SENSITIVE-1', '': 'SENSITIVE-2' },
    volumeContext: { [TOKENS]: '{"":{"token":"SENSITIVE-3"}}', 'csi.storage.k8s.io/pod.name': 'my-pod' },
  }
  const common = { volumeId: volume.id, stagingTargetPath: volume.staging, volumeCapability: mountCapability(), ...hidden }
  await plugin.call(Node.method.nodeStageVolume, common)
  await plugin.call(Node.method.nodePublishVolume, { ...common, targetPath: volume.target })
  await outcome(plugin.call(Node.method.nodePublishVolume, { ...common, targetPath: 'relative' }))
  const volumeCapabilities = [mountCapability()]
  const { volume: made } = await plugin.call(Controller.method.createVolume, { name: 'made', volumeCapabilities, ...hidden })
  const volumeId = made?.volumeId ?? ''
  await plugin.call(Controller.method.validateVolumeCapabilities, { volumeId, volumeCapabilities, ...hidden })
  await plugin.call(Controller.method.deleteVolume, { volumeId, secrets: hidden.secrets })
  await plugin.logged('[ID:6] GRPC response')
  assert.doesNotMatch(plugin.log(), /SENSITIVE/)
  const requests = plugin.lines().filter((line) => line.includes('GRPC request'))
  assert.equal(requests.filter((line) => line.includes('"secrets":{"password":"***stripped***","":"***stripped***"}')).length, 6)
  assert.equal(
    requests.filter((line) => line.includes(`"${TOKENS}":"***stripped***","csi.storage.k8s.io/pod.name":"my-pod"`)).length,
    4,
  )
  assert.equal(plugin.lines().filter((line) => line.includes('GRPC response') && line.includes(TOKENS)).length, 1)
})

const FORGERIES = ['line\n2021/04/16 13:36:21 Driver: forged', 'carriage\rreturn', '\u001b[2Jescape', 'line\u2028separator', '\n\n']

void test('an id with line feeds forges no line, in either format', async (t) => {
  for (const format of ['text', 'json']) {
    await t.test(format, async () => {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox, { args: ['--log-format', format] })
      const staging = sandbox.directory('staging')
      for (const id of FORGERIES) {
        await plugin.stage(id, staging)
        // The refusal has the id in its message.
        assert.equal((await outcome(plugin.unstage('other', staging))).code, 'FAILED_PRECONDITION')
        await plugin.unstage(id, staging)
      }
      await plugin.logged(
        format === 'text' ? `[ID:${3 * FORGERIES.length}] GRPC response` : `"msg":"GRPC response","id":${3 * FORGERIES.length},`,
      )
      const lines = plugin.log().trimEnd().split('\n')
      for (const line of lines) assert.doesNotMatch(line, /\p{Cc}/u)
      if (format === 'text') {
        for (const line of lines) assert.match(line, STAMP)
        assert.ok(lines.every((line) => !/^\S+ \S+ Driver: forged/.test(line)))
      } else {
        for (const line of lines) {
          const { time, level, msg } = JSON.parse(line) as Record<string, unknown>
          assert.match(String(time), /^\d{4}-\d\d-\d\dT/)
          assert.ok(['info', 'warning', 'error'].includes(String(level)))
          assert.notEqual(msg, '')
        }
        const call = lines.map((line) => JSON.parse(line) as Record<string, unknown>).find(({ id }) => id === 1)
        assert.deepEqual(
          { msg: call?.msg, id: call?.id, data: call?.data },
          { msg: 'GRPC call', id: 1, data: '/csi.v1.Node/NodeStageVolume' },
        )
      }
    })
  }
})
