import assert from 'node:assert/strict'
import { existsSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { PublishedEntry, StagedEntry } from '../../src/volumes/mount-cache-entry.ts'
import { MS } from '../../src/os/libc.ts'
import { deviceOf } from '../../src/os/mounts/mount-table.ts'
import { probe } from '../../src/os/mounts/probe.ts'
import { Publisher, type PublishRequest, type RestoreMode } from '../../src/volumes/publisher.ts'
import { layersAt, mount, mountAt, optionsAt, umountLazily } from '../support/mounts.ts'
import { BOOT } from '../support/session-records.ts'
import { SilentMount } from '../support/silent-mount.ts'
import { alive, VolumeParts } from '../support/volume-parts.ts'

const CAPABILITY = { accessMode: 'SINGLE_NODE_WRITER', fsType: '', mountFlags: [] }

/** A publisher; the volume `v` is staged at `staging`, and to be published at `pods/v`, whose parent is missing too. */
class PublisherInTest extends VolumeParts {
  readonly session = new SilentMount(this.sandbox.directory('staging'))
  readonly device = deviceOf(this.session.connection)
  readonly target = this.path('pods', 'v')
  readonly request: PublishRequest = {
    volumeId: 'v',
    stagingPath: this.session.path,
    targetPath: this.target,
    readonly: false,
    capability: CAPABILITY,
  }
  /** What the stager does when a session is asked of it. */
  ensuring: () => string = () => this.device
  /** How often a session was asked of it. */
  ensured = 0
  readonly publisher: Publisher
  readonly #sessions: SilentMount[] = []

  constructor(ask = probe, restoreMode: RestoreMode = 'stack') {
    super(ask)
    this.publisher = new Publisher({
      ...this.common,
      restoreMode,
      stager: {
        ensure: () => {
          this.ensured++
          return Promise.resolve().then(() => this.ensuring())
        },
      },
    })
    this.cache.save(this.stagedEntry())
  }

  stagedEntry(change: Partial<StagedEntry> = {}): StagedEntry {
    const { volumeId, stagingPath, capability } = this.request
    return { version: 1, kind: 'staged', bootId: BOOT, volumeId, stagingPath, capability, madeDirectory: false, ...change }
  }

  entry(change: Partial<PublishedEntry> = {}): PublishedEntry {
    return { version: 1, kind: 'published', bootId: BOOT, ...this.request, device: this.device, ...change }
  }

  /** Publishes, with something else than {@link request}. */
  async publish(change: Partial<PublishRequest> = {}): Promise<void> {
    await this.publisher.publish({ ...this.request, ...change }, this.call)
  }

  /** The session that is bound now: {@link session}, or the last of {@link nextSession}. */
  get current(): SilentMount {
    return this.#sessions.at(-1) ?? this.session
  }

  /** Ends the session, and has the stager mount another one in its place. */
  nextSession(): SilentMount {
    this.current.die()
    umountLazily(this.session.path)
    const next = new SilentMount(this.session.path)
    this.#sessions.push(next)
    this.ensuring = () => deviceOf(next.connection)
    return next
  }

  /** Restores {@link request}, or another, from a session. */
  async restore(session: SilentMount, change: Partial<PublishRequest> = {}): Promise<void> {
    assert.equal(this.current, session)
    await this.publisher.restore(this.entry(change), this.call)
  }

  /** Shows that nothing is published: no mount, entry or directory. */
  nothingLeft(): void {
    assert.deepEqual([layersAt(this.target), this.cache.published(), existsSync(this.path('pods'))], [[], [], false])
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.session.die()
    await super[Symbol.asyncDispose]()
  }
}

/** A publisher whose targets lie on a shared mount, as the kubelet's do. */
class PublisherInShared extends PublisherInTest {
  constructor(restoreMode: RestoreMode = 'stack') {
    super(probe, restoreMode)
    mount('-t', 'tmpfs', 'pods', this.sandbox.directory('pods'))
    mount('--make-shared', this.path('pods'))
    // What is bound of a shared mount is in its peer group.
    mount('--make-shared', this.session.path)
  }

  /** Publishes at a target that is a peer of the staging path. */
  sharedTarget(name: string): PublishedEntry {
    const targetPath = this.sandbox.directory('pods', name)
    this.bind(this.session.path, targetPath)
    const entry = this.entry({ targetPath, capability: { ...CAPABILITY, accessMode: 'MULTI_NODE_READER_ONLY' } })
    this.cache.save(entry)
    return entry
  }

  override nothingLeft(): void {
    assert.deepEqual([layersAt(this.target), this.cache.published(), existsSync(this.target)], [[], [], false])
  }
}

describe('Publisher.publish', () => {
  it('makes the directory, binds the session, and writes the entry; once', async () => {
    await using used = new PublisherInTest()
    await used.publish()
    assert.equal(mountAt(used.target).device, used.device)
    assert.deepEqual(used.cache.published(), [used.entry()])
    const [line = '', ...others] = used.lines
    assert.match(line, /^Saved publish mount entry to .*\/mountcache\/published\/v-[^/]*\.json$/)
    assert.deepEqual(others, [])
    await used.publish()
    assert.deepEqual([layersAt(used.target).length, used.lines.length], [1, 1])
  })

  it('writes only what an entry holds', async () => {
    await using used = new PublisherInTest()
    const more = { ...used.request, secrets: { password: 'secret' } }
    await used.publisher.publish(more, used.call)
    assert.deepEqual(used.cache.published(), [used.entry()])
  })

  it('refuses calls that cannot be, before a session is mounted for them', async () => {
    await using used = new PublisherInTest()
    const { cache, request, target } = used
    cache.save(used.stagedEntry({ volumeId: 'w', stagingPath: used.path('of-w') }))
    cache.save(used.entry({ volumeId: 'w', targetPath: used.path('target-of-w') }))
    for (const [change, kind, message] of [
      [{ targetPath: request.stagingPath }, 'invalid', /^target_path and staging_target_path are both .*; name two directories$/],
      [{ targetPath: used.path('of-w') }, 'precondition', /\/of-w is the staging path of volume w; name another target$/],
      [{ targetPath: used.path('target-of-w') }, 'precondition', /\/target-of-w is a target of volume w; a path holds one volume$/],
    ] as const)
      await assert.rejects(used.publish(change), { name: 'VolumeError', kind, message })
    cache.save(used.entry())
    for (const change of [{ readonly: true }, { capability: { ...CAPABILITY, mountFlags: ['noexec'] } }])
      await assert.rejects(used.publish(change), {
        kind: 'conflict',
        message: `volume v is published at ${target} with other arguments; unpublish it first`,
      })
    assert.deepEqual([used.ensured, layersAt(target)], [0, []])
  })

  for (const [accessMode, allowed] of [
    ['SINGLE_NODE_WRITER', false],
    ['SINGLE_NODE_READER_ONLY', false],
    ['SINGLE_NODE_SINGLE_WRITER', false],
    ['SINGLE_NODE_MULTI_WRITER', true],
    ['MULTI_NODE_READER_ONLY', true],
    ['MULTI_NODE_MULTI_WRITER', true],
  ] as const) {
    it(`${allowed ? 'binds' : 'refuses'} a second target of ${accessMode}`, async () => {
      await using used = new PublisherInTest()
      await used.publish()
      const second = used.publish({ targetPath: used.path('second'), capability: { ...CAPABILITY, accessMode } })
      if (allowed) await second
      else
        await assert.rejects(second, {
          kind: 'precondition',
          message: `volume v is published at ${used.target}, and ${accessMode} allows one target; unpublish it there first`,
        })
      assert.equal(layersAt(used.path('second')).length, allowed ? 1 : 0)
    })
  }

  for (const [staged, own, readonly, expected, missing] of [
    [[], [], false, ['rw', 'nosuid', 'nodev', 'relatime'], ['noexec']],
    [[], [], true, ['ro'], ['rw']],
    [['noexec'], [], false, ['noexec'], []],
    [[], ['noexec'], false, ['noexec'], []],
    [['noatime'], [], false, ['noatime'], ['relatime']],
    [['noatime'], ['relatime'], false, ['relatime'], ['noatime']],
    [['ro'], ['rw'], false, ['ro'], []],
  ] as const) {
    it(`binds with ${expected.join()}, where '${staged.join()}' was staged and '${own.join()}' is published, readonly ${readonly}`, async () => {
      await using used = new PublisherInTest()
      used.cache.save(used.stagedEntry({ capability: { ...CAPABILITY, mountFlags: staged } }))
      await used.publish({ readonly, capability: { ...CAPABILITY, mountFlags: own } })
      const options = optionsAt(used.target)
      for (const one of expected) assert.ok(options.includes(one), `${one} of ${options.join()}`)
      for (const one of missing) assert.ok(!options.includes(one), `no ${one} of ${options.join()}`)
    })
  }

  it('gives a bind back its attributes in place, which somebody has changed', async () => {
    await using used = new PublisherInTest()
    await used.publish({ readonly: true })
    used.libc.mount('none', used.target, null, MS.REMOUNT | MS.BIND | MS.NOSUID | MS.NODEV, null)
    const { id } = mountAt(used.target)
    await used.publish({ readonly: true })
    assert.deepEqual([mountAt(used.target).id, optionsAt(used.target)[0]], [id, 'ro'])
    assert.match(used.lines.at(-1) ?? '', /^mount -o remount,bind,ro\S* .*\/pods\/v$/)
  })

  it('replaces another live session at a target of its own, and refuses one that it has not bound', async () => {
    await using used = new PublisherInTest(alive)
    using other = new SilentMount(used.sandbox.directory('other'))
    const device = deviceOf(other.connection)
    const stranger = used.sandbox.directory('stranger')
    used.bind(used.session.path, stranger)
    await used.publish()
    used.ensuring = () => device
    await used.publish({ stagingPath: other.path })
    assert.deepEqual([layersAt(used.target).length, mountAt(used.target).device], [1, device])
    assert.ok(used.lines.includes(`mount --bind ${other.path} ${used.target} (in place of another session)`))
    const capability = { ...CAPABILITY, accessMode: 'MULTI_NODE_READER_ONLY' }
    await assert.rejects(used.publish({ stagingPath: other.path, targetPath: stranger, capability }), {
      kind: 'precondition',
      message: `${stranger} is a mount point of another session already; unmount that first`,
    })
    assert.equal(mountAt(stranger).device, used.device)
  })

  it('replaces what is dead at a target', async () => {
    await using used = new PublisherInTest()
    const target = used.sandbox.directory('pods', 'v')
    using dead = new SilentMount(target)
    dead.die()
    await used.publish()
    assert.deepEqual([layersAt(target).length, mountAt(target).device], [1, used.device])
    assert.deepEqual(used.linesOfMounts(), [`umount ${target} (dead)`])
  })

  it('refuses a target that another file system is mounted at, and leaves that', async () => {
    await using used = new PublisherInTest()
    mount('-t', 'tmpfs', 'tmpfs', used.sandbox.directory('pods', 'v'))
    await assert.rejects(used.publish(), {
      kind: 'precondition',
      message: `${used.target} is a mount point of tmpfs already; unmount that first`,
    })
    assert.deepEqual([mountAt(used.target).fsType, used.cache.published()], ['tmpfs', []])
  })

  it('binds nothing but the session that the stager has named, and removes the directories it made', async () => {
    await using used = new PublisherInTest()
    used.ensuring = () => '0:123456'
    await assert.rejects(used.publish(), {
      kind: 'unavailable',
      message: `${used.session.path} changed while it was bound to ${used.target}; call again`,
    })
    used.nothingLeft()
  })

  it('binds nothing when no session can be had, or the call is over by then', async () => {
    await using used = new PublisherInTest()
    used.ensuring = () => {
      throw new Error('no session')
    }
    await assert.rejects(used.publish(), /^Error: no session$/)
    used.ensuring = () => {
      used.call.cancel()
      return used.device
    }
    await assert.rejects(used.publish(), { name: 'CallEnded' })
    used.nothingLeft()
  })

  it('binds nothing whose entry cannot be written, and makes no directory', async () => {
    await using used = new PublisherInTest()
    rmdirSync(used.cache.folder('published'))
    writeFileSync(used.cache.folder('published'), 'a file where the folder was')
    await assert.rejects(used.publish(), { code: 'ENOTDIR' })
    used.nothingLeft()
  })

  it('binds nothing where the entry of an earlier boot cannot be replaced, and keeps that', async () => {
    await using used = new PublisherInTest()
    const old = used.entry({ bootId: 'the boot before' })
    used.cache.save(old)
    rmSync(used.cache.folder('published'), { recursive: true })
    writeFileSync(used.cache.folder('published'), 'a file where the folder was')
    await assert.rejects(used.publish(), { code: 'ENOTDIR' })
    assert.deepEqual([layersAt(used.target), used.cache.published()], [[], [old]])
  })

  it('has the session in the entry before it is bound, and with it the one that it replaces', async () => {
    await using used = new PublisherInTest()
    const seen: (readonly PublishedEntry[])[] = []
    const { binds } = used
    const looking = (way: 'bind' | 'rebind') => async (order: Parameters<typeof binds.bind>[0]) => {
      seen.push(used.cache.published())
      await binds[way](order)
    }
    const { stack, setAttributes } = { stack: binds.stack.bind(binds), setAttributes: binds.setAttributes.bind(binds) }
    const parts = { ...used.common, binds: { stack, setAttributes, bind: looking('bind'), rebind: looking('rebind') } }
    const stager = { ensure: () => Promise.resolve(used.ensuring()) }
    const publisher = new Publisher({ ...parts, restoreMode: 'replace', stager })
    await publisher.publish(used.request, used.call)
    using next = used.nextSession()
    await publisher.publish(used.request, used.call)
    assert.deepEqual(seen, [[used.entry()], [used.entry({ device: deviceOf(next.connection), replaced: [used.device] })]])
  })

  it('writes the entry anew in another boot, and of another staging path', async () => {
    await using used = new PublisherInTest()
    for (const old of [{ bootId: 'the boot before' }, { stagingPath: used.path('elsewhere') }]) {
      used.cache.save(used.entry(old))
      await used.publish()
      assert.deepEqual(used.cache.published(), [used.entry()])
    }
  })
})

describe('Publisher.unpublish', () => {
  it('takes every layer off, and removes the entry and the directory; once', async () => {
    await using used = new PublisherInTest()
    await used.publish()
    used.bind(used.session.path, used.target)
    await used.publisher.unpublish('v', used.target, used.call)
    assert.deepEqual([layersAt(used.target), used.cache.published(), existsSync(used.target)], [[], [], false])
    assert.ok(existsSync(used.path('pods')))
    await used.publisher.unpublish('v', used.target, used.call)
    assert.equal(layersAt(used.session.path).length, 1)
  })

  it('leaves a directory alone that it has nothing to do with', async () => {
    await using used = new PublisherInTest()
    const path = used.sandbox.directory('plain')
    await used.publisher.unpublish('v', path, used.call)
    assert.ok(existsSync(path))
  })

  it('removes the target of a bind that has no entry', async () => {
    await using used = new PublisherInTest()
    const path = used.sandbox.directory('bind')
    used.bind(used.session.path, path)
    await used.publisher.unpublish('v', path, used.call)
    assert.deepEqual([layersAt(path), existsSync(path)], [[], false])
  })

  it('refuses the target of another volume, a staging path, and what it has not mounted', async () => {
    await using used = new PublisherInTest()
    await used.publish()
    const foreign = used.sandbox.directory('foreign')
    mount('-t', 'tmpfs', 'tmpfs', foreign)
    for (const [volumeId, path, message] of [
      ['w', used.target, `${used.target} is a target of volume v, not of w`],
      ['v', used.session.path, `${used.session.path} is a staging path; unstage it`],
      ['v', foreign, /\/foreign is a mount point of tmpfs \(tmpfs\), which this plugin has not mounted; unmount it by hand/],
    ] as const)
      await assert.rejects(used.publisher.unpublish(volumeId, path, used.call), { kind: 'precondition', message })
    for (const path of [used.target, used.session.path, foreign]) assert.equal(layersAt(path).length, 1)
    assert.deepEqual(used.cache.published(), [used.entry()])
  })

  it('is not published any more although files keep the directory, which goes when they are gone', async () => {
    await using used = new PublisherInTest()
    await used.publish()
    const below = used.sandbox.directory('below')
    used.bind(used.path('pods'), below)
    const file = join(below, 'v', 'file')
    writeFileSync(file, 'of a pod')
    await assert.rejects(used.publisher.unpublish('v', used.target, used.call), {
      kind: 'precondition',
      message: `${used.target} holds files on the node's own disk, which belong to no volume; move them away`,
    })
    assert.deepEqual([layersAt(used.target), used.cache.published(), existsSync(file)], [[], [], true])
    rmSync(file)
    await used.publisher.unpublish('v', used.target, used.call)
    assert.equal(existsSync(used.target), false)
  })
})

describe('Publisher.restore', () => {
  it('binds what is missing, and tells whether it had to', async () => {
    await using used = new PublisherInTest()
    const old = used.entry({ bootId: 'the boot before' })
    used.cache.save(old)
    assert.equal(await used.publisher.restore(old, used.call), true)
    assert.equal(mountAt(used.target).device, used.device)
    assert.deepEqual(used.cache.published(), [used.entry()])
    assert.equal(await used.publisher.restore(used.entry(), used.call), false)
    assert.deepEqual(used.cache.published(), [used.entry()])
  })

  it('binds although the entry cannot be written, and says so', async () => {
    await using used = new PublisherInTest()
    const old = used.entry({ device: '0:123456' })
    used.cache.save(old)
    rmSync(used.cache.folder('published'), { recursive: true })
    writeFileSync(used.cache.folder('published'), 'a file where the folder was')
    assert.equal(await used.publisher.restore(old, used.call), true)
    assert.deepEqual([mountAt(used.target).device, used.cache.published()], [used.device, [old]])
    assert.match(
      used.lines.join('\n'),
      /^cannot write the mount cache entry of .*\/pods\/v, which is mounted all the same: .*ENOTDIR/,
    )
  })
})

describe('the sessions that an entry remembers', () => {
  /** Mounts another session, which the stager has from then on. */
  function another(used: PublisherInTest, name: string): SilentMount {
    const session = new SilentMount(used.sandbox.directory(name))
    used.ensuring = () => deviceOf(session.connection)
    return session
  }

  const WAYS: Readonly<Record<string, (used: PublisherInTest, stagingPath: string) => Promise<unknown>>> = {
    'a second Publish': (used, stagingPath) => used.publish({ stagingPath }),
    'a restore': (used, stagingPath) => used.publisher.restore(used.entry({ stagingPath }), used.call),
  }
  const STATES: Readonly<Record<string, (used: PublisherInTest) => void>> = {
    'whose session is dead': (used) => {
      used.session.die()
    },
    'at which nothing is mounted any more': (used) => {
      used.libc.umount(used.target, 2)
    },
    'to which a plugin bound a new session before it was killed': (used) => {
      used.libc.umount(used.target, 2)
      used.bind(used.path('other'), used.target)
    },
  }
  for (const [way, bindAnew] of Object.entries(WAYS))
    for (const [state, make] of Object.entries(STATES)) {
      it(`are those before ${way} of a target ${state}`, async () => {
        await using used = new PublisherInTest()
        await used.publish()
        using session = another(used, 'other')
        make(used)
        await bindAnew(used, session.path)
        const device = deviceOf(session.connection)
        assert.equal(mountAt(used.target).device, device)
        const entry = used.entry({ stagingPath: session.path, device, replaced: [used.device] })
        assert.deepEqual(used.cache.published(), [entry])
        await used.publish({ stagingPath: session.path })
        assert.deepEqual(used.cache.published(), [entry], 'a second Publish forgets nothing')
      })
    }

  it('are that of a dead target whose entry names none, as those of earlier versions', async () => {
    await using used = new PublisherInTest()
    await used.publish()
    const { device: _device, ...old } = used.entry()
    used.cache.save(old)
    using session = another(used, 'other')
    used.session.die()
    await used.publish({ stagingPath: session.path })
    const device = deviceOf(session.connection)
    assert.deepEqual(used.cache.published(), [used.entry({ stagingPath: session.path, device, replaced: [used.device] })])
  })

  it('are none after an Unpublish, and none of another boot', async () => {
    await using used = new PublisherInTest()
    used.cache.save(used.entry({ bootId: 'the boot before', device: '0:123456', replaced: ['0:123457'] }))
    await used.publish()
    assert.deepEqual(used.cache.published(), [used.entry()])
    used.cache.save(used.entry({ replaced: ['0:123457'] }))
    await used.publisher.unpublish('v', used.target, used.call)
    await used.publish()
    assert.deepEqual(used.cache.published(), [used.entry()])
  })

  for (const restoreMode of ['stack', 'replace'] as const) {
    it(`leaves one mount at a target whose dead mount is not shared, by ${restoreMode}`, async () => {
      await using used = new PublisherInTest(probe, restoreMode)
      await used.publish()
      using next = used.nextSession()
      await used.restore(next)
      assert.deepEqual([layersAt(used.target).length, mountAt(used.target).device], [1, deviceOf(next.connection)])
      assert.deepEqual(used.linesOfMounts(), [`umount ${used.target} (dead)`])
    })
  }
})

/** The devices of the mounts at a path, the lowest first. */
function devicesAt(path: string): readonly string[] {
  return layersAt(path).map(({ device }) => device)
}

describe('Publisher.restore by stack, where mounts propagate', () => {
  it('attaches each session on top of the dead one, and takes off those between it and the first', async () => {
    await using used = new PublisherInShared()
    await used.publish()
    for (const _ of ['once', 'twice', 'three times']) {
      using next = used.nextSession()
      await used.restore(next)
      assert.deepEqual(devicesAt(used.target), [used.device, deviceOf(next.connection)])
    }
    assert.deepEqual(
      used.linesOfMounts(),
      Array.from({ length: 3 }, () => `mount --bind ${used.current.path} ${used.target} (on top of the dead mount)`),
    )
    await used.publisher.unpublish('v', used.target, used.call)
    used.nothingLeft()
  })

  it('gives each target a peer group of its own, and stacks on each alone', async () => {
    await using used = new PublisherInShared()
    const capability = { ...CAPABILITY, accessMode: 'MULTI_NODE_READER_ONLY' }
    const targets = ['v', 'w', 'x'].map((name) => used.path('pods', name))
    for (const targetPath of targets) await used.publish({ targetPath, capability, readonly: targetPath.endsWith('w') })
    for (const _ of ['once', 'twice']) {
      using next = used.nextSession()
      for (const targetPath of targets) await used.restore(next, { targetPath, capability, readonly: targetPath.endsWith('w') })
      for (const target of targets) assert.deepEqual(devicesAt(target), [used.device, deviceOf(next.connection)])
    }
    assert.deepEqual(
      targets.map((target) => optionsAt(target)[0]),
      ['rw', 'ro', 'rw'],
    )
    const groups = [used.session.path, ...targets].flatMap((path) => used.states.layersAt(path).map(({ peerGroup }) => peerGroup))
    assert.equal(new Set(groups).size, groups.length)
  })

  it('stacks once on targets that are one peer group, as older versions have bound them', async () => {
    await using used = new PublisherInShared()
    const [one, two] = [used.sharedTarget('one'), used.sharedTarget('two')]
    for (const _ of ['once', 'twice', 'three times']) {
      using next = used.nextSession()
      for (const entry of [one, two]) await used.restore(next, entry)
      for (const { targetPath } of [one, two]) assert.deepEqual(devicesAt(targetPath), [used.device, deviceOf(next.connection)])
    }
  })

  for (const [what, prepare, rest] of [
    ['of that one alone', () => undefined, 2],
    ['of all of them where its directory holds a file, and says so', (below) => writeFileSync(join(below, 'file'), ''), 1],
  ] as const satisfies readonly (readonly [string, (below: string) => void, number])[]) {
    it(`takes off the new mount ${what}, when a target of one peer group is unpublished`, async () => {
      await using used = new PublisherInShared()
      // Before anything is mounted there: the directory below the mounts.
      prepare(used.sandbox.directory('pods', 'one'))
      const [one, two] = [used.sharedTarget('one'), used.sharedTarget('two')]
      using next = used.nextSession()
      for (const entry of [one, two]) await used.restore(next, entry)
      assert.deepEqual(
        [one, two].map(({ targetPath }) => layersAt(targetPath).length),
        [2, 2],
      )
      const unpublished = used.publisher.unpublish('v', one.targetPath, used.call)
      if (rest === 2) await unpublished
      else await assert.rejects(unpublished, { message: /holds files on the node's own disk/ })
      assert.deepEqual([layersAt(one.targetPath), existsSync(one.targetPath)], [[], rest === 1])
      assert.equal(layersAt(two.targetPath).length, rest)
      assert.equal(
        used.lines.filter((line) => line.startsWith(`cannot unmount ${one.targetPath} alone: ENOTEMPTY`)).length,
        2 - rest,
      )
      await used.publisher.unpublish('v', two.targetPath, used.call)
      assert.deepEqual([layersAt(two.targetPath), existsSync(two.targetPath), used.cache.published()], [[], false, []])
    })
  }

  it('goes on after a restore that ended before it took off the dead mounts', async () => {
    await using used = new PublisherInShared()
    await used.publish()
    for (const _ of ['once', 'twice']) {
      using next = used.nextSession()
      used.bind(next.path, used.target)
    }
    assert.equal(layersAt(used.target).length, 3)
    using next = used.nextSession()
    await used.restore(next)
    assert.deepEqual(devicesAt(used.target), [used.device, deviceOf(next.connection)])
  })

  it('replaces a mount that no entry is of, and by replace every dead one', async () => {
    for (const restoreMode of ['stack', 'replace'] as const) {
      await using used = new PublisherInShared(restoreMode)
      await used.publish()
      if (restoreMode === 'stack') for (const entry of used.cache.published()) used.cache.remove(entry)
      using next = used.nextSession()
      await used.publish()
      assert.deepEqual(devicesAt(used.target), [deviceOf(next.connection)])
    }
  })
})
