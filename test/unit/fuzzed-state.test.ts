import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { encodeRecord, RECORD_VERSION, type SessionRecord } from '../../src/fused/session-record.ts'
import { Records } from '../../src/fused/session-records.ts'
import { Logger } from '../../src/log.ts'
import { DelayedFsync } from '../../src/os/descriptors/delayed-fsync.ts'
import type { PublishedEntry, StagedEntry } from '../../src/volumes/mount-cache-entry.ts'
import { MountCache } from '../../src/volumes/mount-cache.ts'
import { VolumeRegistry } from '../../src/volumes/registry.ts'
import { Sandbox } from '../support/sandbox.ts'

const RUNS = 1000

const CAPABILITY = { accessMode: 'SINGLE_NODE_WRITER', fsType: '', mountFlags: ['noexec'] }
const COMMON = { version: 1, bootId: 'boot', volumeId: 'volume', stagingPath: '/kubelet/volume', capability: CAPABILITY } as const
const STAGED: StagedEntry = { ...COMMON, kind: 'staged', madeDirectory: false }
const PUBLISHED: PublishedEntry = { ...COMMON, kind: 'published', targetPath: '/pods/volume', readonly: false }

/** Values that do not belong where they are put. */
const strange = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom('', '/', '/..', 'relative', '/a/../b', '/a\0b', '\n', '/'.repeat(5000), -1, 0, 1e308, 2 ** 53, null, [], {}),
)

/** A text that was damaged: bytes changed, put in or cut off, or one value of its JSON replaced. */
function damaged(text: string): fc.Arbitrary<Buffer> {
  const bytes = Buffer.from(text)
  const at = fc.nat(bytes.length - 1)
  const keys = Object.keys(JSON.parse(text) as object)
  return fc.oneof(
    fc.tuple(at, fc.nat(255)).map(([where, value]) => {
      const copy = Buffer.from(bytes)
      copy[where] = value
      return copy
    }),
    fc.tuple(at, fc.uint8Array({ maxLength: 20 })).map(([where, more]) => {
      return Buffer.concat([bytes.subarray(0, where), more, bytes.subarray(where)])
    }),
    at.map((where) => bytes.subarray(0, where)),
    fc.tuple(fc.constantFrom(...keys), strange).map(([key, value]) => {
      return Buffer.from(JSON.stringify({ ...(JSON.parse(text) as object), [key]: value }))
    }),
    fc.uint8Array({ maxLength: 200 }).map((all) => Buffer.from(all)),
    strange.map((value) => Buffer.from(JSON.stringify(value))),
  )
}

/** An absolute path in its shortest form, which a mount can stand at. */
const PATH = /^(\/(?!\.{1,2}(\/|$))[^/\0]+)+$/

describe('state files that are damaged', () => {
  for (const entry of [STAGED, PUBLISHED]) {
    it(`are set aside by the mount cache, or are entries of their own names: ${entry.kind}`, async () => {
      await using sandbox = new Sandbox()
      const log = new Logger(() => undefined)
      const open = (folder: string): MountCache => new MountCache(folder, new DelayedFsync(log), log)
      const first = open(join(sandbox.path, 'first'))
      first.load()
      const name = first.save(entry).split('/').at(-1) ?? ''
      const folder = join(sandbox.path, 'cache')
      fc.assert(
        fc.property(damaged(`${JSON.stringify(entry)}\n`), (bytes) => {
          rmSync(folder, { recursive: true, force: true })
          mkdirSync(join(folder, entry.kind), { recursive: true })
          writeFileSync(join(folder, entry.kind, name), bytes)
          const cache = open(folder)
          cache.load()
          const found = [...cache.staged(), ...cache.published()]
          const left = readdirSync(join(folder, entry.kind))
          assert.deepEqual(left, found.length === 1 ? [name] : [`${name}.damaged`])
          for (const { volumeId, stagingPath, capability } of found) {
            assert.equal(volumeId, entry.volumeId, 'the name is made of the volume, and of the path')
            assert.match(stagingPath, PATH)
            assert.ok(Array.isArray(capability.mountFlags))
          }
          open(folder).load()
        }),
        { numRuns: RUNS },
      )
    })
  }

  it('are reported by the Controller’s records, and left alone', async () => {
    await using sandbox = new Sandbox()
    const log = new Logger(() => undefined)
    const folder = join(sandbox.path, 'volumes')
    const first = new VolumeRegistry(folder, log)
    first.load()
    const { id } = first.create('volume', { required: 4096, limit: 0 }, {})
    const text = JSON.stringify(first.get(id))
    fc.assert(
      fc.property(damaged(text), (bytes) => {
        writeFileSync(join(folder, `${id}.json`), bytes)
        const registry = new VolumeRegistry(folder, log)
        registry.load()
        for (const record of registry.list()) {
          assert.equal(record.id, id)
          assert.ok(Number.isSafeInteger(record.capacity) && record.capacity >= 0)
        }
        assert.ok(registry.available() >= 0)
        assert.deepEqual(readdirSync(folder), [`${id}.json`])
      }),
      { numRuns: RUNS },
    )
  })

  it('are damaged records to dummy-fused, or whole ones of their own sessions', async () => {
    await using sandbox = new Sandbox()
    const folder = join(sandbox.path, 'sessions')
    const records = new Records(folder, { first: 1, longest: 1 }, new Logger(() => undefined))
    const negotiated = { minor: 45, flags: 1n, maxWrite: 4096, maxPages: 32, timeGran: 1, resend: true }
    const id = '0123456789abcdef'
    const record: SessionRecord = {
      version: RECORD_VERSION,
      id,
      path: '/mnt',
      options: ['ro'],
      faults: [],
      bootId: 'boot',
      connection: 42,
      negotiated,
    }
    const text = encodeRecord(record)
    let whole = 0
    fc.assert(
      fc.property(damaged(text), (bytes) => {
        writeFileSync(join(folder, `${id}.json`), bytes)
        const [found] = records.read()
        assert.ok(found !== undefined)
        assert.equal(found.kind === 'record' ? found.record.id : found.id, id)
        if (found.kind !== 'record') return
        whole++
        assert.match(found.record.path, /^\//)
      }),
      { numRuns: RUNS },
    )
    assert.ok(whole > 0 && whole < RUNS, `${whole} are whole`)
  })
})
