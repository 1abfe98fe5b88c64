import assert from 'node:assert/strict'
import { closeSync, existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it, mock } from 'node:test'
import type { HeldSession } from '../../src/fused/sessions.ts'
import { RECORD_VERSION, type SessionRecord } from '../../src/fused/session-record.ts'
import { Records } from '../../src/fused/session-records.ts'
import { Successor } from '../../src/fused/successor.ts'
import { DEFAULT_OPTIONS } from '../../src/fuse/mount-option-rules.ts'
import { presumed } from '../../src/fuse/session/handshake.ts'
import { Logger } from '../../src/log.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import type { InheritedDescriptor } from '../../src/os/descriptors/inherited.ts'
import { Libc, MNT_DETACH } from '../../src/os/libc.ts'
import { Sandbox } from '../support/sandbox.ts'
import { BOOT, sessionRecord } from '../support/session-records.ts'
import { SilentMount } from '../support/silent-mount.ts'

const libc = new Libc(new AddonLoader())
const signal = new AbortController().signal
const ID = '0123456789abcdef'
const OTHER = 'fedcba9876543210'
/** In milliseconds. */
const DEADLINE = 60_000

/** A successor, what it has the daemon and the keepers do, in this order, and what it logs. */
class Takeover implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly folder = join(this.sandbox.path, 'sessions')
  readonly records: Records
  readonly done: string[] = []
  readonly lines: string[] = []
  readonly adopted: { record: SessionRecord; fd: number }[] = []
  readonly held: HeldSession[] = []
  /** What a standby hands over. */
  standby: readonly InheritedDescriptor[] = []
  /** What the daemon's next cleanUp() and the keepers' next store() reject with. */
  failure: Error | undefined
  readonly #successor: Successor
  readonly #given: number[] = []

  constructor() {
    const log = new Logger((line, level) => this.lines.push(`${level} ${line.slice(20)}`))
    this.records = new Records(this.folder, { first: 1000, longest: 1000 }, log)
    this.#successor = new Successor({
      daemon: {
        adopt: (record, fd) => {
          this.done.push(`adopt ${record.id}`)
          this.adopted.push({ record, fd })
        },
        keepAgain: (id, fd, given) => this.#later(`keep ${id} again ${isOpen(fd) ? 'open' : 'closed'}`, given),
        hold: (session) => {
          this.done.push(`hold ${session.id}`)
          this.held.push(session)
        },
        release: (session, why) => {
          assert.ok(this.held.includes(session))
          this.done.push(`release ${session.id}: ${why}`)
        },
        cleanUp: (record) => this.#later(`clean up ${record.path}`, signal),
      },
      records: this.records,
      holders: {
        store: (id, fd, given) => this.#later(`store ${id} ${isOpen(fd) ? 'open' : 'closed'}`, given),
        unstore: (id) => this.done.push(`unstore ${id}`),
      },
      libc,
      now: { bootId: BOOT, drained: false, resends: true },
      fetch: async (lack) => {
        this.done.push(`fetch: ${lack} are missing`)
        return await Promise.resolve(this.standby)
      },
      log,
    })
  }

  /** Takes over these descriptors, and what a standby has; returns what was done at once. */
  async begin(...inherited: readonly InheritedDescriptor[]): Promise<string[]> {
    this.#successor.begin(inherited)
    await this.#successor.fetch()
    return this.done.splice(0)
  }

  /** Does what can wait; returns what was done. */
  async tidy(): Promise<string[]> {
    await this.#successor.tidy(DEADLINE, signal)
    return this.done.splice(0)
  }

  /** The records' files. */
  files(): string[] {
    return readdirSync(this.folder).sort()
  }

  /** The end to write of a pipe, as a descriptor of nothing that is mounted. */
  pipe(): number {
    const [read, write] = libc.pipe()
    this.#given.push(read)
    return write
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const fd of this.#given) closeSync(fd)
    await this.sandbox[Symbol.asyncDispose]()
  }

  async #later(what: string, given: AbortSignal): Promise<void> {
    assert.equal(given, signal)
    this.done.push(what)
    await Promise.resolve()
    const { failure } = this
    this.failure = undefined
    if (failure !== undefined) throw failure
  }
}

function isOpen(fd: number): boolean {
  return existsSync(`/proc/self/fd/${fd}`)
}

describe('Successor', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }))
  afterEach(() => mock.timers.reset())

  it('says nothing where nothing was left', async () => {
    await using takeover = new Takeover()
    assert.deepEqual(await takeover.begin(), ['fetch: none are missing'])
    assert.deepEqual([await takeover.tidy(), takeover.lines], [[], []])
  })

  it('serves at once what is well, and sees to the rest later', async () => {
    await using takeover = new Takeover()
    const { records, sandbox } = takeover
    using mounted = new SilentMount(sandbox.directory('mnt'))
    const record = sessionRecord(ID, mounted.path, mounted.connection)
    records.save(record)
    records.save(sessionRecord(OTHER, '/lost', 12_345))
    const stray = takeover.pipe()
    assert.deepEqual(await takeover.begin({ fd: mounted.fd, name: ID }, { fd: stray, name: 'stray' }), [
      `adopt ${ID}`,
      'fetch: some are missing',
    ])
    assert.deepEqual(takeover.adopted, [{ record, fd: mounted.fd }])
    assert.deepEqual(takeover.lines, ['info took over 1 sessions of 2 descriptors'])
    assert.ok(isOpen(stray))
    assert.deepEqual(await takeover.tidy(), ['unstore stray', 'clean up /lost'])
    assert.ok(!isOpen(stray))
    assert.deepEqual(takeover.lines.slice(1), [
      'warning descriptor stray is released: there is no record of it, and nothing of it is mounted here',
      'error the session of /lost is lost: its descriptor was not kept; its consumers get ENOTCONN',
    ])
  })

  it('gets from a standby what nobody has handed over, and keeps that anew', async () => {
    await using takeover = new Takeover()
    using mounted = new SilentMount(takeover.sandbox.directory('mnt'))
    using other = new SilentMount(takeover.sandbox.directory('other'))
    for (const [id, { path, connection }] of [
      [ID, mounted],
      [OTHER, other],
    ] as const)
      takeover.records.save(sessionRecord(id, path, connection))
    const copy = takeover.pipe()
    takeover.standby = [
      { fd: copy, name: ID },
      { fd: other.fd, name: OTHER },
    ]
    const done = await takeover.begin({ fd: mounted.fd, name: ID })
    assert.deepEqual(done, [`adopt ${ID}`, 'fetch: some are missing', `adopt ${OTHER}`])
    assert.deepEqual([isOpen(copy), isOpen(mounted.fd)], [false, true], 'what was handed over counts')
    assert.deepEqual(takeover.lines, [
      'info took over 1 sessions of 1 descriptors',
      'info the standby has handed over 1 descriptors',
      'info took over 1 sessions of 1 descriptors',
    ])
    assert.deepEqual(await takeover.tidy(), [`keep ${OTHER} again open`])
  })

  for (const [title, record, lack, why] of [
    ['has a damaged record', '{', 'all', 'its record is damaged: it is not valid JSON'],
    ['has no record', undefined, 'none', 'there is no record of it'],
  ] as const) {
    it(`gets from a standby what ${title}, and keeps that anew`, async () => {
      await using takeover = new Takeover()
      using mounted = new SilentMount(takeover.sandbox.directory('mnt'))
      if (record !== undefined) writeFileSync(join(takeover.folder, `${ID}.json`), record)
      takeover.standby = [{ fd: mounted.fd, name: ID }]
      assert.deepEqual(await takeover.begin(), [`fetch: ${lack} are missing`])
      assert.deepEqual(await takeover.tidy(), [`adopt ${ID}`, `unstore ${ID}`, `store ${ID} open`])
      assert.equal(takeover.lines.at(-1), `warning the session of ${mounted.path} is served with default options: ${why}`)
    })
  }

  it('keeps anew what a standby had and a newer version has to read', async () => {
    await using takeover = new Takeover()
    writeFileSync(join(takeover.folder, `${ID}.json`), JSON.stringify({ version: RECORD_VERSION + 1 }))
    takeover.standby = [{ fd: takeover.pipe(), name: ID }]
    await takeover.begin()
    assert.deepEqual(await takeover.tidy(), [`hold ${ID}`, `keep ${ID} again open`])
  })

  it('keeps a session anew whose name stands for two descriptors, and closes the other one alone', async () => {
    await using takeover = new Takeover()
    using mounted = new SilentMount(takeover.sandbox.directory('mnt'))
    takeover.records.save(sessionRecord(ID, mounted.path, mounted.connection))
    const second = takeover.pipe()
    assert.deepEqual(await takeover.begin({ fd: mounted.fd, name: ID }, { fd: second, name: ID }), [`adopt ${ID}`])
    assert.deepEqual(await takeover.tidy(), [`keep ${ID} again open`])
    assert.deepEqual([isOpen(mounted.fd), isOpen(second)], [true, false])
    assert.match(takeover.lines.at(-1) ?? '', /^warning descriptor .* is released: the name .* was used twice$/)
  })

  it('closes a descriptor of a connection that was cut, and has the keepers forget it', async () => {
    await using takeover = new Takeover()
    using mounted = new SilentMount(takeover.sandbox.directory('mnt'))
    const record = sessionRecord(ID, mounted.path, mounted.connection)
    takeover.records.save(record)
    libc.umount(mounted.path, MNT_DETACH)
    assert.deepEqual(await takeover.begin({ fd: mounted.give(), name: ID }), [])
    assert.deepEqual(await takeover.tidy(), [`unstore ${ID}`, `clean up ${mounted.path}`])
    assert.ok(!isOpen(mounted.fd))
  })

  it('serves a session without a record as the mount table has it, under its name', async () => {
    await using takeover = new Takeover()
    using mounted = new SilentMount(takeover.sandbox.directory('mnt'))
    await takeover.begin({ fd: mounted.fd, name: ID })
    assert.deepEqual(await takeover.tidy(), [`adopt ${ID}`, `unstore ${ID}`, `store ${ID} open`])
    const { path, connection } = mounted
    const record = sessionRecord(ID, path, connection, { options: DEFAULT_OPTIONS, negotiated: presumed() })
    assert.deepEqual(takeover.adopted, [{ record, fd: mounted.fd }])
    assert.deepEqual(takeover.records.read(), [{ kind: 'record', record }], 'the next successor has it')
    assert.equal(takeover.lines.at(-1), `warning the session of ${path} is served with default options: there is no record of it`)
  })

  it('gives a session a new id whose name is none, and takes the old copy back before it stores another', async () => {
    await using takeover = new Takeover()
    using mounted = new SilentMount(takeover.sandbox.directory('mnt'))
    await takeover.begin({ fd: mounted.fd, name: 'stored' })
    const done = await takeover.tidy()
    const [id = ''] = takeover.adopted.map(({ record }) => record.id)
    assert.match(id, /^[0-9a-f]{16}$/)
    assert.deepEqual(done, [`adopt ${id}`, 'unstore stored', `store ${id} open`])
    assert.deepEqual(takeover.files(), [`${id}.json`])
  })

  it('gives two sessions without records ids of their own that have come under one name', async () => {
    await using takeover = new Takeover()
    const paths = ['one', 'two'].map((name) => takeover.sandbox.directory(name))
    using one = new SilentMount(paths[0] ?? '')
    using two = new SilentMount(paths[1] ?? '')
    await takeover.begin({ fd: one.fd, name: ID }, { fd: two.fd, name: ID })
    const done = await takeover.tidy()
    const ids = takeover.adopted.map(({ record }) => record.id)
    assert.equal(new Set([...ids, ID]).size, 3)
    assert.deepEqual(
      done,
      ids.flatMap((id) => [`adopt ${id}`, `unstore ${ID}`, `store ${id} open`]),
    )
    assert.deepEqual(
      takeover.adopted.map(({ record }) => record.path),
      paths,
    )
  })

  it('does not serve what another file system has mounted', async () => {
    await using takeover = new Takeover()
    using mounted = new SilentMount(takeover.sandbox.directory('mnt'), 'fuse.other')
    await takeover.begin({ fd: mounted.give(), name: ID })
    assert.deepEqual(await takeover.tidy(), [`unstore ${ID}`])
    assert.deepEqual([isOpen(mounted.fd), takeover.files()], [false, []])
  })

  it('holds a session whose record a newer version wrote, and releases it at the deadline', async () => {
    await using takeover = new Takeover()
    const fd = takeover.pipe()
    writeFileSync(join(takeover.folder, `${ID}.json`), JSON.stringify({ version: RECORD_VERSION + 1 }))
    await takeover.begin({ fd, name: ID })
    assert.deepEqual(await takeover.tidy(), [`hold ${ID}`, `keep ${ID} again open`])
    const why = `its record is of format ${RECORD_VERSION + 1}, which a newer dummy-fused wrote`
    assert.deepEqual(takeover.held, [{ kind: 'held', id: ID, fd, record: undefined, why }])
    assert.ok(takeover.lines.at(-1)?.startsWith(`error session ${ID} is held for 60 s: ${why}; install `))
    mock.timers.tick(DEADLINE - 1)
    assert.deepEqual(takeover.done, [])
    mock.timers.tick(1)
    assert.deepEqual(takeover.done, [`release ${ID}: ${why}`])
    assert.deepEqual([isOpen(fd), takeover.files()], [true, [`${ID}.json`]], 'the daemon’s to close and to remove')
  })

  it('sets a damaged record aside, and removes one of another boot', async () => {
    await using takeover = new Takeover()
    writeFileSync(join(takeover.folder, `${ID}.json`), '{')
    takeover.records.save(sessionRecord(OTHER, '/mnt', 1, { bootId: 'the boot before' }))
    await takeover.begin()
    assert.deepEqual(await takeover.tidy(), [])
    assert.deepEqual(takeover.files(), [`${ID}.damaged`])
    assert.deepEqual(
      new Set(takeover.lines),
      new Set([
        `warning record ${ID} is discarded: its record is damaged: it is not valid JSON`,
        `warning record ${OTHER} is discarded: it is from before the last boot`,
      ]),
    )
  })

  it('goes on when a step fails, and says which', async () => {
    await using takeover = new Takeover()
    using mounted = new SilentMount(takeover.sandbox.directory('mnt'))
    const paths = ['/one', '/two']
    paths.forEach((path, index) => takeover.records.save(sessionRecord(`${index}`.repeat(16), path, 12_345 + index)))
    await takeover.begin({ fd: mounted.fd, name: 'stored' })
    takeover.done.splice(0)
    takeover.failure = new Error('the path is gone')
    const done = await takeover.tidy()
    assert.deepEqual(new Set(done.slice(-2)), new Set(['clean up /one', 'clean up /two']))
    assert.equal(done.length, 5)
    assert.equal(takeover.lines.filter((line) => line.startsWith('error the takeover of ')).length, 1)
    assert.match(takeover.lines.join('\n'), /^error the takeover of stored has failed: the path is gone$/m)
  })

  it('says which descriptor the keepers do not take again', async () => {
    await using takeover = new Takeover()
    using mounted = new SilentMount(takeover.sandbox.directory('mnt'))
    await takeover.begin({ fd: mounted.fd, name: 'stored' })
    takeover.failure = new Error('no room')
    await takeover.tidy()
    assert.equal(takeover.lines.at(-1), 'error the takeover of stored has failed: no room')
    assert.equal(takeover.adopted.length, 1, 'it is served all the same')
  })
})
