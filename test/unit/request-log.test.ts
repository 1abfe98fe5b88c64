import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, type DescField, type DescMessage, type DescMethod, getOption, ScalarType, toBinary } from '@bufbuild/protobuf'
import { reflect, type ReflectMessage } from '@bufbuild/protobuf/reflect'
import { shown, stripped } from '../../src/grpc/request-log.ts'
import {
  Controller,
  csi_secret,
  GroupController,
  Identity,
  Node,
  NodeStageVolumeRequestSchema,
  SnapshotMetadata,
} from '../../src/rpc/csi_pb.ts'
import { ListResponseSchema } from '../../src/rpc/fused_pb.ts'

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

void test('a log shows the first entries of a long list, and says how many more there are', () => {
  const sessions = Array.from({ length: 1000 }, (_, index) => ({ id: `session-${index}`, path: `/staging/${index}` }))
  const message = create(ListResponseSchema, { sessions })
  const json = JSON.parse(JSON.stringify(shown(ListResponseSchema, message))) as { sessions: unknown[] }
  assert.equal(json.sessions.length, 21)
  assert.deepEqual(json.sessions[19], { id: 'session-19', path: '/staging/19' })
  assert.equal(json.sessions[20], 'and 980 more')
  assert.equal(message.sessions.length, 1000, 'the answer itself is whole')
})

void test('a log shows the first characters of a long message, without its secrets, and says how long it is', () => {
  const volumeContext = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`key-${index}`, 'x'.repeat(100)]))
  const message = create(NodeStageVolumeRequestSchema, { volumeId: 'v', secrets: { password: SECRET }, volumeContext })
  const text = shown(NodeStageVolumeRequestSchema, message)
  assert.ok(typeof text === 'string' && text.length < 17_000)
  assert.match(text, /^\{"volume_id":"v",.*… \(\d{6} characters\)$/)
  assert.ok(!text.includes(SECRET))
})
