import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { bound, type MountCacheEntry, parseEntry, pathOf, sameCapability } from '../../src/volumes/mount-cache-entry.ts'

const path = fc.array(fc.stringMatching(/^[^/\0.]{1,20}$/), { minLength: 1, maxLength: 4 }).map((names) => `/${names.join('/')}`)
const text = fc.string({ unit: 'binary', minLength: 1 })
const plain = { noNullPrototype: true } as const
const capability = fc.record({ accessMode: text, fsType: fc.string(), mountFlags: fc.array(fc.string()) }, plain)
const common = { version: fc.constant(1 as const), bootId: text, volumeId: text, stagingPath: path, capability }
const staged = fc.record({ ...common, kind: fc.constant('staged' as const), madeDirectory: fc.boolean() }, plain)
const published = fc.record({ ...common, kind: fc.constant('published' as const), targetPath: path, readonly: fc.boolean() }, plain)
const entry: fc.Arbitrary<MountCacheEntry> = fc.oneof(staged, published)

describe('parseEntry', () => {
  it('reads what was written', () => {
    fc.assert(
      fc.property(entry, (value) => {
        assert.deepEqual(parseEntry(JSON.stringify(value), value.kind), value)
        assert.equal(pathOf(value), value.kind === 'staged' ? value.stagingPath : value.targetPath)
      }),
    )
  })

  it('reads the kind of a volume and the pod of a target, as far as they are known, and nothing half known', () => {
    const pod = { namespace: 'shop', name: 'web-0', uid: '' }
    const [one] = fc.sample(published, 1)
    const whole = { ...one, ephemeral: true, pod }
    assert.deepEqual(parseEntry(JSON.stringify(whole), 'published'), whole)
    for (const wrong of [{ ephemeral: false }, { ephemeral: 'yes' }, { pod: {} }, { pod: { ...pod, name: '' } }, { pod: 'web-0' }])
      assert.throws(() => parseEntry(JSON.stringify({ ...one, ...wrong }), 'published'), /ephemeral|pod/)
  })

  it('refuses an entry that is cut short anywhere, or lacks a field, and never returns half of one', () => {
    fc.assert(
      fc.property(entry, fc.nat(), (value, seed) => {
        const json = JSON.stringify(value)
        assert.throws(() => parseEntry(json.slice(0, seed % json.length), value.kind))
        const keys = Object.keys(value)
        const { [keys[seed % keys.length] ?? '']: _gone, ...rest } = value as unknown as Record<string, unknown>
        assert.throws(() => parseEntry(JSON.stringify(rest), value.kind))
        assert.throws(() => parseEntry(json, value.kind === 'staged' ? 'published' : 'staged'))
      }),
    )
  })

  it('throws an Error, and nothing worse, at any JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        assert.throws(() => parseEntry(JSON.stringify(value), 'staged'), Error)
      }),
    )
  })

  it('takes no field along that it does not know: a file cannot make a call carry more', () => {
    fc.assert(
      fc.property(entry, (value) => {
        const more = { ...value, secrets: { password: 'x' } }
        assert.deepEqual(parseEntry(JSON.stringify(more), value.kind), value)
      }),
    )
  })

  it('wants paths in their shortest form, and none of them the root', () => {
    const value = fc.sample(staged, 1)[0]
    for (const stagingPath of ['/', '//', '/a/', '/a//b', '/a/../b', './a', 'a', '', '/a\0b', 7, null]) {
      assert.throws(() => parseEntry(JSON.stringify({ ...value, stagingPath }), 'staged'), /stagingPath/)
    }
  })
})

describe('the sessions of an entry', () => {
  const [value] = fc.sample(published, 1)
  const device = fc.nat({ max: 2 ** 20 }).map((minor) => `0:${minor}`)

  it('are read as they were written, and need not be there', () => {
    fc.assert(
      fc.property(published, device, fc.array(device), (entry, last, replaced) => {
        for (const sessions of [{ device: last }, { replaced }, { device: last, replaced }]) {
          const text = JSON.stringify({ ...entry, ...sessions })
          assert.deepEqual(parseEntry(text, 'published'), { ...entry, ...sessions })
        }
      }),
    )
  })

  for (const wrong of ['', '41', '0:', ':41', '0:41 ', '0:-1', '0:99999999999', 41, null, {}]) {
    it(`are none if one is ${JSON.stringify(wrong)}`, () => {
      assert.throws(() => parseEntry(JSON.stringify({ ...value, device: wrong }), 'published'), /^Error: device /)
      assert.throws(() => parseEntry(JSON.stringify({ ...value, replaced: ['0:41', wrong] }), 'published'), /^Error: replaced\.1 /)
    })
  }
})

describe('bound', () => {
  const now = { bootId: 'now', device: '0:9', found: undefined }

  for (const [what, before, found, replaced] of [
    ['a target that is new', {}, undefined, undefined],
    ['the same session', { device: '0:9' }, undefined, undefined],
    ['another session than the last', { device: '0:1' }, undefined, ['0:1']],
    ['what was found there', {}, '0:1', ['0:1']],
    ['what was found there, which is the last', { device: '0:1' }, '0:1', ['0:1']],
    ['two sessions in a row', { device: '0:2', replaced: ['0:1'] }, '0:2', ['0:1', '0:2']],
    ['a number that is used again', { device: '0:2', replaced: ['0:9', '0:1'] }, undefined, ['0:1', '0:2']],
    ['the same session again', { device: '0:9', replaced: ['0:1'] }, undefined, ['0:1']],
  ] as const) {
    it(`remembers ${what}: ${replaced?.join() ?? 'none'}`, () => {
      const account = bound({ bootId: 'now', ...before }, { ...now, found })
      assert.deepEqual(account, { device: '0:9', ...(replaced === undefined ? {} : { replaced }) })
    })
  }

  it('remembers none of another boot', () => {
    const account = bound({ bootId: 'before', device: '0:1', replaced: ['0:2'] }, { ...now, found: '0:3' })
    assert.deepEqual(account, { device: '0:9' })
  })

  it('remembers the latest of many', () => {
    let account: ReturnType<typeof bound> = {}
    for (let minor = 1; minor <= 100; minor++) account = bound({ bootId: 'now', ...account }, { ...now, device: `0:${minor}` })
    assert.equal(account.replaced?.length, 32)
    assert.equal(account.replaced.at(-1), '0:99')
  })
})

describe('sameCapability', () => {
  it('knows itself, with its flags in any order, and no other', () => {
    const one = { accessMode: 'SINGLE_NODE_WRITER', fsType: '', mountFlags: ['ro', 'noexec'] }
    assert.ok(sameCapability(one, { ...one, mountFlags: ['noexec', 'ro'] }))
    for (const other of [{ fsType: 'fuse' }, { accessMode: 'X' }, { mountFlags: ['ro'] }, { mountFlags: ['ro', 'noexec', 'ro'] }]) {
      assert.ok(!sameCapability(one, { ...one, ...other }))
    }
  })

  it('takes one flag with a comma for no two', () => {
    const of = (mountFlags: readonly string[]): Parameters<typeof sameCapability>[0] => ({
      accessMode: 'X',
      fsType: '',
      mountFlags,
    })
    assert.ok(!sameCapability(of(['a,b']), of(['a', 'b'])))
  })
})
