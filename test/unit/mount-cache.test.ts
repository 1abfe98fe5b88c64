import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { Logger } from '../../src/log.ts'
import { DelayedFsync } from '../../src/os/descriptors/delayed-fsync.ts'
import type { MountCacheEntry, PublishedEntry, StagedEntry } from '../../src/volumes/mount-cache-entry.ts'
import { MountCache } from '../../src/volumes/mount-cache.ts'
import { mount, umountLazily } from '../support/mounts.ts'
import { Sandbox } from '../support/sandbox.ts'

const CAPABILITY = { accessMode: 'SINGLE_NODE_WRITER', fsType: '', mountFlags: ['noexec'] }

function staged(volumeId: string, stagingPath = `/staging/${volumeId}`): StagedEntry {
  return { version: 1, kind: 'staged', bootId: 'boot', volumeId, stagingPath, capability: CAPABILITY, madeDirectory: true }
}

function published(volumeId: string, targetPath: string): PublishedEntry {
  const stagingPath = `/staging/${volumeId}`
  return {
    version: 1,
    kind: 'published',
    bootId: 'boot',
    volumeId,
    stagingPath,
    targetPath,
    capability: CAPABILITY,
    readonly: true,
  }
}

/** A mount cache in a sandbox, and what it logs. */
class Cache implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly folder = join(this.sandbox.path, 'mountcache')
  readonly lines: string[] = []

  /** Another cache of the same folder, as a plugin has that starts anew. */
  open(): MountCache {
    const log = new Logger((line, level) => this.lines.push(`${level} ${line.slice(20)}`))
    return new MountCache(this.folder, new DelayedFsync(log), log)
  }

  /** {@link open}, with what is in the folder. */
  load(): MountCache {
    const cache = this.open()
    cache.load()
    return cache
  }

  /** The files of one kind. */
  files(kind: MountCacheEntry['kind']): string[] {
    return readdirSync(join(this.folder, kind)).sort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]()
  }
}

describe('MountCache', () => {
  it('finds what another one has saved, by path and by volume, staged and published apart', async () => {
    await using cache = new Cache()
    const first = cache.load()
    const [a, b, target, other] = [staged('a'), staged('b'), published('a', '/pods/1'), published('a', '/pods/2')]
    for (const entry of [a, b, target, other]) {
      const file = first.save(entry)
      assert.equal(dirname(file), first.folder(entry.kind))
      assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), entry)
    }
    for (const found of [first, cache.load()]) {
      assert.deepEqual(new Set(found.staged()), new Set([a, b]))
      assert.deepEqual(new Set(found.published()), new Set([target, other]))
      assert.deepEqual([found.stagedAt('/staging/a'), found.stagedAt('/pods/1')], [a, undefined])
      assert.deepEqual([found.publishedAt('/pods/2'), found.publishedAt('/staging/a')], [other, undefined])
      const { staged: ofA, published: targetsOfA } = found.of('a')
      assert.deepEqual([ofA, new Set(targetsOfA)], [[a], new Set([target, other])])
      assert.deepEqual(found.of('c'), { staged: [], published: [] })
    }
    assert.deepEqual(cache.lines, [])
  })

  it('replaces the entry of the same volume and path, in one file', async () => {
    await using cache = new Cache()
    const first = cache.load()
    first.save(staged('a'))
    const again = { ...staged('a'), madeDirectory: false }
    first.save(again)
    assert.equal(cache.files('staged').length, 1)
    for (const found of [first, cache.load()]) assert.deepEqual(found.staged(), [again])
  })

  it('does not take an entry over that could not be written', async () => {
    await using cache = new Cache()
    const first = cache.load()
    rmdirSync(first.folder('staged'))
    writeFileSync(first.folder('staged'), 'a file where the folder was')
    assert.throws(() => first.save(staged('a')), { code: 'ENOTDIR' })
    assert.deepEqual([first.staged(), first.stagedAt('/staging/a')], [[], undefined])
  })

  it('removes an entry and its file, and no other of its volume', async () => {
    await using cache = new Cache()
    const first = cache.load()
    const [target, other] = [published('a', '/pods/1'), published('a', '/pods/2')]
    const [file] = [target, other, staged('a')].map((entry) => first.save(entry))
    first.remove(target)
    await first.removalsSynced()
    assert.equal(existsSync(file ?? ''), false)
    for (const found of [first, cache.load()]) {
      assert.deepEqual(found.published(), [other])
      assert.deepEqual(found.of('a').staged, [staged('a')])
    }
  })

  it('keeps an entry whose file cannot be removed, and removes it the next time', async () => {
    await using cache = new Cache()
    const first = cache.load()
    const file = first.save(staged('a'))
    rmSync(file)
    mkdirSync(file)
    assert.throws(() => first.remove(staged('a')), { code: 'EISDIR' })
    assert.deepEqual(first.staged(), [staged('a')])
    // Nothing was removed, so there is nothing to be synced.
    renameSync(first.folder('staged'), join(cache.folder, 'away'))
    await first.removalsSynced()
    renameSync(join(cache.folder, 'away'), first.folder('staged'))
    rmdirSync(file)
    first.remove(staged('a'))
    assert.deepEqual(first.staged(), [])
  })

  for (const removed of [staged('a'), published('a', '/pods/1')]) {
    it(`answers for no removal that is not on the disk, and syncs it when asked again: ${removed.kind}`, async () => {
      await using cache = new Cache()
      const first = cache.load()
      first.save(removed)
      first.remove(removed)
      const folder = first.folder(removed.kind)
      rmdirSync(folder)
      await assert.rejects(first.removalsSynced(), (error) => error instanceof Error && error.message.includes(folder))
      mkdirSync(folder)
      await first.removalsSynced()
    })
  }

  it('sets aside what is no entry, says why, and reads it no more', async () => {
    await using cache = new Cache()
    const first = cache.load()
    const whole = first.save(published('a', '/pods/1'))
    const folder = first.folder('published')
    const write = (name: string, text: string): string => (writeFileSync(join(folder, name), text), name)
    const elsewhere = JSON.stringify(published('b', '/pods/2'))
    const names = [
      write('a.json', 'no JSON'),
      write('b.json', elsewhere),
      write('c.json', JSON.stringify(staged('c'))),
      // Its volume's name is right, its path is the other entry's.
      write(basename(first.save(published('d', '/pods/1'))), JSON.stringify(published('d', '/pods/1'))),
    ]
    mkdirSync(join(folder, 'e.json'))
    const found = cache.load()
    assert.equal(found.published().length, 1)
    assert.equal(found.publishedAt('/pods/1')?.targetPath, '/pods/1')
    const [, , , duplicate = ''] = names
    const aside = ['a.json', 'b.json', 'c.json', 'e.json']
    // Of two entries of one path that whose name comes first is kept.
    const [kept, other] = [basename(whole), duplicate].sort()
    assert.deepEqual(cache.files('published'), [...[...aside, other ?? ''].map((name) => `${name}.damaged`), kept].sort())
    const why = (name: string): string | undefined =>
      cache.lines.find((line) => line.startsWith(`error Skipped damaged mount cache entry ${folder}/${name}: `))
    assert.match(why('b.json') ?? '', /: it is the entry of another volume or path; kept as .*\/b\.json\.damaged$/)
    assert.match(why('c.json') ?? '', /kind "staged" is not "published"/)
    assert.match(why('e.json') ?? '', /it is no regular file/)
    assert.match(why(other ?? '') ?? '', /another entry has its path/)
    assert.equal(cache.lines.length, 5)
    cache.load()
    assert.equal(cache.lines.length, 5)
  })

  it('starts although what is damaged cannot be set aside', async () => {
    await using cache = new Cache()
    const first = cache.load()
    first.save(staged('a'))
    writeFileSync(join(first.folder('staged'), 'b.json'), '{}')
    mount('--bind', first.folder('staged'), first.folder('staged'))
    mount('-o', 'remount,bind,ro', first.folder('staged'))
    assert.deepEqual(cache.load().staged(), [staged('a')])
    assert.match(cache.lines.join(), /^error Skipped .*b\.json: version is missing; cannot be kept aside: EROFS$/)
    umountLazily(first.folder('staged'))
  })

  it('does not start with a folder that cannot be made or read', async () => {
    await using cache = new Cache()
    writeFileSync(cache.folder, 'a file')
    assert.throws(() => cache.load(), { code: 'ENOTDIR' })
  })

  it('removes half-written files, which say nothing', async () => {
    await using cache = new Cache()
    const first = cache.load()
    writeFileSync(join(first.folder('staged'), 'a.json.0123abcd.partial'), '{')
    cache.load()
    assert.deepEqual([cache.files('staged'), cache.lines], [[], []])
  })

  it('looks without a change to anything: what is damaged stays, and so does what is half-written', async () => {
    await using cache = new Cache()
    const first = cache.load()
    // More than one portion.
    for (let n = 0; n < 250; n++) first.save(staged(`v${n}`))
    first.save(published('v1', '/pods/1'))
    writeFileSync(join(first.folder('staged'), 'b.json'), '{}')
    writeFileSync(join(first.folder('staged'), 'a.json.0123abcd.partial'), '{')
    const before = cache.files('staged')
    const looking = cache.open()
    await looking.peek()
    assert.equal(looking.staged().length, 250)
    assert.deepEqual(looking.published(), [published('v1', '/pods/1')])
    assert.deepEqual(cache.files('staged'), before)
    assert.deepEqual(cache.lines, [`warning damaged mount cache entry ${first.folder('staged')}/b.json: version is missing`])
  })

  it('makes no folder to look into, and lets others go on between portions', async () => {
    await using cache = new Cache()
    const looking = cache.open()
    await looking.peek()
    assert.deepEqual([looking.staged(), looking.published(), existsSync(cache.folder)], [[], [], false])
    const first = cache.load()
    for (let n = 0; n < 250; n++) first.save(staged(`v${n}`))
    let [turns, over] = [0, false]
    const turn = (): void => {
      turns++
      if (!over) setImmediate(turn)
    }
    setImmediate(turn)
    await cache.open().peek()
    over = true
    assert.ok(turns >= 3, `the event loop ran ${turns} times while 250 entries were read`)
  })
})
