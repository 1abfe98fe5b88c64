import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type DescMethodUnary, type DescService, getOption } from '@bufbuild/protobuf'
import { Controller, csi_secret, Node } from '../../src/rpc/csi_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'

/** Stands for every secret, and is nowhere else. */
const MARK = 'MARKED-c0ffee-SECRET'

/** Contexts and parameters, with keys under which drivers have secrets. */
const CONTEXT = {
  'csi.storage.k8s.io/serviceAccount.tokens': `{"":{"token":"${MARK}"}}`,
  password: MARK,
  'access-key': MARK,
  bearerToken: MARK,
  plain: 'plain-value',
}

/** A request of a method, with {@link MARK} in each field that can hold a secret. */
function requestOf(method: DescMethodUnary, sandbox: Sandbox, good: boolean): object {
  const known: Readonly<Record<string, unknown>> = {
    name: 'volume',
    volumeId: 'volume',
    stagingTargetPath: good ? join(sandbox.path, 'staging') : '/proc/self',
    targetPath: good ? join(sandbox.path, 'target') : '/etc/passwd',
    volumePath: join(sandbox.path, 'target'),
    volumeCapability: mountCapability('SINGLE_NODE_WRITER', good ? [] : ['sparkle']),
    volumeCapabilities: [mountCapability('SINGLE_NODE_WRITER')],
  }
  const entries = method.input.fields.flatMap((field): [string, unknown][] => {
    if (getOption(field, csi_secret)) return [[field.localName, field.fieldKind === 'map' ? { user: MARK, plain: MARK } : MARK]]
    if (field.fieldKind === 'map' && field.mapKind === 'scalar') return [[field.localName, CONTEXT]]
    return field.localName in known ? [[field.localName, known[field.localName]]] : []
  })
  return Object.fromEntries(entries)
}

function unary({ methods }: DescService): readonly DescMethodUnary[] {
  return methods.filter((method): method is DescMethodUnary => method.methodKind === 'unary')
}

/** Texts of all files below a folder. */
function textsBelow(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return files.map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1')).join('\n')
}

const HOSTS: Readonly<Record<string, (sandbox: Sandbox, format: string) => Promise<{ plugin: Plugin; log: () => string }>>> = {
  child: async (sandbox, format) => {
    const args = ['--role', 'identity,node,controller', '--log-format', format]
    return { plugin: await Plugin.start(sandbox, { args }), log: () => '' }
  },
  service: async (sandbox, format) => {
    const fused = await FusedProcess.start(sandbox, { keep: [], args: ['--log-format', format] })
    const args = ['--role', 'identity,node,controller', '--fuse-host', 'service', '--fused-socket', fused.socket]
    return { plugin: await Plugin.start(sandbox, { args: [...args, '--log-format', format] }), log: () => fused.log() }
  },
}

describe('secrets and tokens of requests', () => {
  for (const [host, start] of Object.entries(HOSTS))
    for (const format of ['text', 'json'])
      it(`are in no log, error, file, argument or environment: ${host}, ${format}`, async () => {
        await using sandbox = new Sandbox()
        sandbox.directory('staging')
        const { plugin, log } = await start(sandbox, format)
        using _plugin = plugin
        const answers: string[] = []
        const call = async (method: DescMethodUnary, good: boolean): Promise<void> => {
          const { code, details } = await outcome(plugin.call(method, requestOf(method, sandbox, good) as never))
          answers.push(`${method.name} ${code} ${details}`)
        }
        const order = [...unary(Controller), ...unary(Node)].filter(({ name }) => !/^(NodeUn|Delete)/.test(name))
        for (const method of order) for (const good of [false, true]) await call(method, good)
        assert.ok(
          answers.some((answer) => answer.startsWith('NodePublishVolume OK')),
          answers.join('\n'),
        )

        const status = await sandbox.run(EXECUTABLE, ['status', '--state-dir', plugin.stateDir])
        const processes = [plugin.pid, ...sandbox.processes()]
        const files = ['cmdline', 'environ'].flatMap((file) =>
          processes.map((pid) => [`/proc/${pid}/${file}`, readFileSync(`/proc/${pid}/${file}`, 'latin1')] as const),
        )
        const places: readonly (readonly [string, string])[] = [
          ['the answers', answers.join('\n')],
          ['the log', plugin.log()],
          ['the log of dummy-fused', log()],
          ['status', status.stdout + status.stderr],
          ['the folder of the sandbox', textsBelow(sandbox.path)],
          ...files,
        ]
        for (const [place, text] of places) assert.ok(!text.includes(MARK), `${place} has a secret`)
        assert.ok(plugin.log().includes('plain-value'), 'what is no secret is logged')
        assert.ok(plugin.log().includes('***stripped***'))
        for (const method of unary(Node)
          .filter(({ name }) => name.startsWith('NodeUn'))
          .reverse())
          await call(method, true)
      })
})
