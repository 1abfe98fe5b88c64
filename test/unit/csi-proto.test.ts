import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { test } from 'node:test'
import { fromBinary, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf'
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { file_csi } from '../../src/rpc/csi_pb.ts'
import { ROOT } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

const SPEC = 'github.com/container-storage-interface/spec@v1.13.0'
const BUF = join(ROOT, 'node_modules/@bufbuild/buf/bin/buf')

/** The machine's Go, or the one that scripts/test fetches. */
function go(): string {
  const folders = [...(process.env.PATH ?? '').split(delimiter), join(ROOT, '.cache/go/bin')]
  const found = folders.map((folder) => join(folder, 'go')).find((file) => existsSync(file))
  if (found === undefined) throw new Error(`no go in ${folders.join(', ')}; run scripts/test --setup-only`)
  return found
}

/** Runs buf in the checkout, with the Node of node_modules in front: what it starts is a Node program. */
function buf(...words: readonly string[]): Buffer {
  const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}` }
  return execFileSync(process.execPath, [BUF, ...words], { cwd: ROOT, env, maxBuffer: 2 ** 26, stdio: ['ignore', 'pipe', 'pipe'] })
}

/** The descriptor of csi.proto in a folder, without its comments. */
function descriptor(folder: string): FileDescriptorProto {
  const bytes = buf('build', folder, '--exclude-source-info', '--exclude-imports', '--output', '-#format=binpb')
  const file = fromBinary(FileDescriptorSetSchema, bytes).file.find(({ name }) => name === 'csi.proto')
  if (file === undefined) throw new Error(`no csi.proto in ${folder}`)
  return file
}

/** A descriptor's fields as plain values; what buf or protoc alone writes into it (json_name, the unknown) is left out. */
function shape(file: FileDescriptorProto): JsonValue {
  return JSON.parse(
    JSON.stringify(toJson(FileDescriptorProtoSchema, file), (key, value: unknown) => (key === 'jsonName' ? undefined : value)),
  ) as JsonValue
}

void test('proto/csi.proto has the messages, fields, numbers and options of CSI 1.13.0, and the generated types have them too', async () => {
  await using sandbox = new Sandbox()
  const text = execFileSync(go(), ['mod', 'download', '-json', SPEC], { cwd: sandbox.path, encoding: 'utf8' })
  const { Dir } = JSON.parse(text) as { Dir: string }
  const folder = sandbox.directory('spec')
  copyFileSync(join(Dir, 'csi.proto'), join(folder, 'csi.proto'))
  const theirs = descriptor(folder)
  const ours = descriptor('proto')
  assert.ok(theirs.messageType.length > 80 && theirs.service.length === 5, 'the descriptor is whole')
  assert.deepEqual(shape(ours), shape(theirs))
  // JSON leaves out what it does not know: the options, which are extensions.
  assert.ok(Buffer.from(toBinary(FileDescriptorProtoSchema, ours)).equals(toBinary(FileDescriptorProtoSchema, theirs)))
  assert.deepEqual(shape(file_csi.proto), shape(ours))
})

void test('src/rpc is what buf generate makes of proto/', async () => {
  await using sandbox = new Sandbox()
  buf('generate', '--output', sandbox.path)
  const made = join(sandbox.path, 'src/rpc')
  const kept = join(ROOT, 'src/rpc')
  assert.deepEqual(readdirSync(kept).sort(), readdirSync(made).sort())
  for (const name of readdirSync(made)) {
    assert.equal(readFileSync(join(kept, name), 'utf8'), readFileSync(join(made, name), 'utf8'), name)
  }
})
