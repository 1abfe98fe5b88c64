import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, type DescField, type DescMessage, type DescMethod, getOption, ScalarType, toBinary } from '@bufbuild/protobuf'
import { reflect, type ReflectMessage } from '@bufbuild/protobuf/reflect'
import { stripped } from '../../src/grpc/request-log.ts'
import { Controller, csi_secret, GroupController, Identity, Node, SnapshotMetadata } from '../../src/rpc/csi_pb.ts'

const TOKENS = 'csi.storage.k8s.io/serviceAccount.tokens'
const SECRET = 'SENSITIVE'

/** Fills every field of a message, secrets and tokens with what must not be seen, lists and maps with two. */
function fill(message: ReflectMessage, depth = 0): void {
  for (const field of message.fields) fillField(message, field, depth)
}

function fillField(message: ReflectMessage, field: DescField, depth: number): void {
  const hidden = getOption(field, csi_secret)
  switch (field.fieldKind) {
    case 'scalar':
      message.set(field, hidden ? scalarOf(field.scalar, SECRET) : scalarOf(field.scalar, 'plain'))
      return
    case 'enum':
      message.set(field, field.enum.values.at(-1)?.number ?? 0)
      return
    case 'message':
      if (depth < 6) message.set(field, filled(field.message, depth))
      return
    case 'map': {
      const map = message.get(field)
      map.set('plain-key', field.mapKind === 'message' ? filled(field.message, depth) : hidden ? SECRET : 'plain')
      if (field.name === 'volume_context') map.set(TOKENS, SECRET)
      return
    }
    case 'list': {
      const list = message.get(field)
      for (let i = 0; i < 2 && depth < 6; i++) {
        if (field.listKind === 'message') list.add(filled(field.message, depth))
        else list.add(field.listKind === 'enum' ? 0 : scalarOf(field.scalar, hidden ? SECRET : 'plain'))
      }
    }
  }
}

function filled(desc: DescMessage, depth: number): ReflectMessage {
  const message = reflect(desc, create(desc))
  fill(message, depth + 1)
  return message
}

const LONG: readonly ScalarType[] = [
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
]

function scalarOf(type: ScalarType, text: string): unknown {
  if (type === ScalarType.STRING) return text
  if (type === ScalarType.BYTES) return Buffer.from(text)
  if (type === ScalarType.BOOL) return true
  return LONG.includes(type) ? 7n : 7
}

const METHODS: readonly DescMethod[] = [Identity, Controller, GroupController, SnapshotMetadata, Node].flatMap(
  ({ methods }) => methods,
)

void test('no secret and no service-account token of any request or response of CSI is logged, and all else is', async (t) => {
  let secrets = 0
  let tokens = 0
  for (const method of METHODS) {
    for (const desc of [method.input, method.output]) {
      await t.test(desc.name, () => {
        const { message } = filled(desc, -1)
        const held = Buffer.from(toBinary(desc, message)).toString('latin1')
        const text = JSON.stringify(stripped(desc, message))
        assert.ok(!text.includes(SECRET) && !text.includes(Buffer.from(SECRET).toString('base64')), text)
        if (held.includes('plain')) assert.match(text, /plain/)
        if (text.includes(TOKENS)) tokens++
        if (held.includes(SECRET)) {
          secrets++
          assert.match(text, /\*\*\*stripped\*\*\*/)
        }
      })
    }
  }
  // So that a test that finds none is seen: 21 requests with secrets, and messages with a volume_context.
  assert.ok(secrets >= 21, `${secrets} messages with something to hide`)
  assert.ok(tokens >= 5, `${tokens} messages with tokens`)
})
