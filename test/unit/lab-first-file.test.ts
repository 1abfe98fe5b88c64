import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { firstFile } from '../../src/lab/driver/first-file.ts'
import { parseDriver } from '../../src/lab/driver/parse.ts'
import { parseYaml } from '../../src/yaml.ts'

describe('a first file', () => {
  const plugin = { name: 'test.driver', version: '1', node: [], controller: undefined }

  for (const [nodeId, start] of [
    ['node', ['/opt/node/plugin', '--node', '{node}', '--node={node}', '--log=/var/node/log', 'unix://{socket}']],
    ['plugin', ['/opt/node/plugin', '--node', 'node', '--node=node', '--log=/var/node/log', 'unix://{socket}']],
    ['no', ['/opt/node/plugin', '--node', 'node', '--node=node', '--log=/var/node/log', 'unix://{socket}']],
  ] as const) {
    it(`has a placeholder where an argument is the node id ${nodeId}, and nowhere else`, () => {
      const command = ['/opt/node/plugin', '--node', 'node', '--node=node', '--log=/var/node/log', 'unix:///run/csi.sock']
      const text = firstFile({ socket: '/run/csi.sock', plugin, nodeId, command })
      assert.deepEqual((parseYaml(text) as { start: unknown }).start, start)
    })
  }

  it('has an argument with braces so that it is read as it was', () => {
    const command = [
      '/opt/plugin',
      '--map={node}',
      '--json={"a":{"b":1}}',
      '${state}',
      '--node=some-node',
      '--at=unix:///run/csi.sock',
    ]
    const text = firstFile({ socket: '/run/csi.sock', plugin, nodeId: 'some-node', command })
    const { start, socket } = parseDriver(text, 'first.yaml')
    assert.deepEqual(start, [...command.slice(0, 4), '--node=lab-node', `--at=unix://${socket}`])
  })
})
