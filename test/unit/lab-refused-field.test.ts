import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseDriver } from '../../src/lab/driver/parse.ts'
import { refusedField } from '../../src/lab/driver/refused-field.ts'
import { isFinal } from '../../src/lab/final-answer.ts'

const VOLUME = {
  id: 'some-volume',
  attributes: { bucket: 'b', region: 'r' },
  secrets: { accessKey: 'hidden-value' },
  publishContext: { device: '/dev/x' },
  mountFlags: ['noatime', 'password=hidden-value,cache=full'],
  fsType: 'ext4',
}

const FILE = { name: 'd', start: ['/bin/d'], volume: VOLUME, file: 'f', content: 'c' }

const CREATED = { ...FILE, volume: { secrets: { accessKey: 'x' } }, create: { parameters: { pool: 'p' }, capacity: '1Gi' } }

function field(call: string, code: string, details: string, file: object = FILE): string | undefined {
  return refusedField(parseDriver(JSON.stringify(file), 'driver.yaml'), call, { code, details })
}

describe('the field of the file that a driver refuses', () => {
  const REFUSALS: readonly (readonly [string, string])[] = [
    ["mount_flags: unknown mount option 'cache'; known are ro, rw", 'volume.mountFlags (cache)'],
    ['mount options are not supported', 'volume.mountFlags'],
    ['only MULTI_NODE_READER_ONLY is supported', 'volume.accessMode'],
    ['Volume capability access mode not supported', 'volume.accessMode'],
    ['fsType must be fuse', 'volume.fsType'],
    ['missing secret', 'volume.secrets'],
    ['the secret accessKey is too short', 'volume.secrets.accessKey'],
    ['no publish context for device', 'volume.publishContext.device'],
    ['volume context: region is unknown', 'volume.attributes.region'],
    ['"bucket" has upper-case letters', 'volume.attributes.bucket'],
    ['bucket has upper-case letters', 'volume.attributes.bucket'],
    ['unknown parameter', 'volume.attributes'],
    ['invalid volume id', 'volume.id'],
    ['pod information is missing in the request', 'podInfo'],
    ['staging target path is empty', 'volume.staged'],
  ]
  for (const [details, name] of REFUSALS)
    it(`is ${name} by the answer: ${details}`, () => {
      assert.equal(field('NodePublishVolume', 'INVALID_ARGUMENT', details), name)
    })

  it('is one of those that the file has, where the answer names none', () => {
    const all =
      'one of volume.mountFlags, volume.accessMode, volume.fsType, volume.secrets, volume.publishContext, volume.attributes, volume.id'
    assert.equal(field('NodeStageVolume', 'INVALID_ARGUMENT', 'no'), all)
    assert.equal(field('NodeStageVolume', 'NOT_FOUND', 'no'), 'volume.id')
    assert.equal(field('NodeStageVolume', 'UNAUTHENTICATED', 'no'), 'volume.secrets')
    const own = { ...FILE, volume: { ...VOLUME, callSecrets: { nodeStage: { key: 'x' } } } }
    assert.equal(field('NodeStageVolume', 'PERMISSION_DENIED', 'no', own), 'volume.callSecrets.nodeStage')
  })

  it('is of create, for a driver that creates its volumes', () => {
    assert.equal(field('CreateVolume', 'INVALID_ARGUMENT', 'the parameter pool is wrong', CREATED), 'create.parameters.pool')
    assert.equal(field('CreateVolume', 'OUT_OF_RANGE', 'the capacity is too small', CREATED), 'create.capacity')
    assert.equal(field('NodeStageVolume', 'INVALID_ARGUMENT', 'volume context: pool', CREATED), 'create.parameters.pool')
    assert.equal(field('DeleteVolume', 'INVALID_ARGUMENT', 'no', CREATED), 'volume.secrets')
  })

  it('is a mount option that is called unknown, whatever the code, and shows no value', () => {
    const said = "mount failed: exit status 1: fuse: unknown option 'cache=full'"
    assert.equal(field('NodeStageVolume', 'INTERNAL', said), 'volume.mountFlags (cache)')
    assert.equal(field('NodeStageVolume', 'UNKNOWN', 'option noatime is not supported here'), 'volume.mountFlags (noatime)')
    assert.equal(field('NodeStageVolume', 'INTERNAL', 'invalid -o password=hidden-value'), 'volume.mountFlags (password)')
  })

  it('is none where the answer is about something else, or the call carries none', () => {
    const args = 'mount -o noatime,cache=full server:/x: connection timed out; unknown host server'
    assert.equal(field('NodeStageVolume', 'INTERNAL', args), undefined)
    assert.equal(field('NodeStageVolume', 'UNAVAILABLE', 'the storage does not answer'), undefined)
    assert.equal(field('NodeUnpublishVolume', 'INVALID_ARGUMENT', 'target path'), undefined)
    assert.equal(field('NodeStageVolume', 'UNIMPLEMENTED', ''), undefined)
  })
})

describe('an answer that stays the same', () => {
  it('has one of the codes after which a call is not made again', () => {
    const codes = ['INVALID_ARGUMENT', 'ALREADY_EXISTS', 'PERMISSION_DENIED', 'UNAUTHENTICATED', 'UNIMPLEMENTED', 'OUT_OF_RANGE']
    assert.ok(codes.every((code) => isFinal({ code })))
    const others = [
      'UNAVAILABLE',
      'DEADLINE_EXCEEDED',
      'ABORTED',
      'RESOURCE_EXHAUSTED',
      'INTERNAL',
      'NOT_FOUND',
      'FAILED_PRECONDITION',
    ]
    assert.ok(!others.some((code) => isFinal({ code })))
  })
})
