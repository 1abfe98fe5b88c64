import assert from 'node:assert/strict'
import { closeSync, readSync, writeSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { afterEach, describe, it } from 'node:test'
import { DummyFs } from '../../src/dummyfs/dummyfs.ts'
import type { FileSystem } from '../../src/fuse/filesystem.ts'
import type { Command, ServerEvent } from '../../src/fuse/session/messages.ts'
import { SessionServer } from '../../src/fuse/session/server.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { wake } from '../../src/os/eventfd.ts'
import { Libc } from '../../src/os/libc.ts'
import { getattr, reading } from '../support/fake-device.ts'

const libc = new Libc(new AddonLoader())
const FILE = 2n
const SOCK_SEQPACKET_NONBLOCK = 5 | 0o4000

const cleanUps: (() => void)[] = []
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp()
})

/** Two ends of a socket that keeps messages apart, as the device does: the server's, and the kernel's. */
function ends(): readonly [fd: number, kernel: number] {
  const pair = Buffer.alloc(8)
  libc.checked('socketpair', undefined, 'int socketpair(int, int, int, void *)', 1, SOCK_SEQPACKET_NONBLOCK, 0, pair)
  const both = [pair.readInt32LE(0), pair.readInt32LE(4)] as const
  cleanUps.push(() => {
    for (const fd of both) closeSync(fd)
  })
  return both
}

interface Served {
  readonly server: SessionServer
  readonly events: ServerEvent[]
  readonly tell: (command: Command) => void
  readonly attach: (id: string) => number
}

/** A server whose file systems are made by `filesystem`; `attach` returns the kernel's end. */
function start(filesystem: (id: string) => FileSystem = () => new DummyFs()): Served {
  const wakeFd = libc.eventfd()
  const queue: Command[] = []
  const events: ServerEvent[] = []
  const server = new SessionServer({
    libc,
    filesystem: ([id = '']) => filesystem(id),
    pollTime: 0,
    inbox: { wakeFd, commands: () => queue.splice(0) },
    emit: (event) => events.push(event),
  })
  cleanUps.push(() => {
    server.close()
    closeSync(wakeFd)
  })
  const tell = (command: Command): void => {
    queue.push(command)
    wake(wakeFd)
    server.turn(1000)
  }
  const attach = (id: string): number => {
    const [fd, kernel] = ends()
    tell({ type: 'attach', session: { id, fd, options: [], faults: [id], resend: false, holdInit: false } })
    return kernel
  }
  return { server, events, tell, attach }
}

/** The reply that has come to the kernel's end: unique and errno. */
function reply(kernel: number): readonly [bigint, number] {
  const buffer = Buffer.alloc(4096)
  readSync(kernel, buffer)
  return [buffer.readBigUInt64LE(8), 0 - buffer.readInt32LE(4)]
}

describe('a server of sessions', () => {
  it('serves each session out of its own file system', () => {
    const { server, attach } = start()
    const kernels = ['a', 'b', 'c'].map(attach)
    for (const [at, kernel] of kernels.entries()) writeSync(kernel, getattr(BigInt(at + 1), FILE))
    server.turn(1000)
    assert.deepEqual(kernels.map(reply), [
      [1n, 0],
      [2n, 0],
      [3n, 0],
    ])
  })

  it('serves one that sends without end no more than sixteen requests in a row', () => {
    const { server, attach } = start()
    const [greedy = -1, other = -1] = ['a', 'b'].map(attach)
    for (let at = 1; at <= 40; at++) writeSync(greedy, getattr(BigInt(at), FILE))
    writeSync(other, getattr(99n, FILE))
    server.turn(1000)
    assert.deepEqual(reply(other), [99n, 0])
    for (let at = 1; at <= 16; at++) assert.deepEqual(reply(greedy), [BigInt(at), 0])
    assert.throws(() => reply(greedy), { code: 'EAGAIN' })
  })

  it('passes on twenty warnings of a session, and all of them of the next', () => {
    const broken = (): FileSystem =>
      Object.assign(new DummyFs(), {
        getattr: () => {
          throw new Error('broken')
        },
      })
    const { server, events, attach } = start(broken)
    for (const id of ['a', 'b']) {
      const kernel = attach(id)
      for (let at = 1; at <= 50; at++) {
        writeSync(kernel, getattr(BigInt(at), FILE))
        server.turn(1000)
        assert.deepEqual(reply(kernel), [BigInt(at), 5])
      }
      const warnings = events.filter((event) => event.type === 'warning' && event.id === id)
      assert.equal(warnings.length, 20)
    }
  })

  it('tells what a session has done, and answers whoever names none', () => {
    const { server, events, tell, attach } = start()
    const kernel = attach('a')
    writeSync(kernel, getattr(1n, FILE))
    server.turn(1000)
    tell({ type: 'inspect', token: 7, id: undefined })
    tell({ type: 'inspect', token: 8, id: 'a' })
    tell({ type: 'inspect', token: 9, id: 'none' })
    const told = events.filter((event) => event.type === 'inspection')
    assert.deepEqual(
      told.map(({ token, inspection }) => [token, inspection]),
      [
        [7, undefined],
        [8, { counts: { GETATTR: 1 }, pending: 0 }],
        [9, undefined],
      ],
    )
  })

  it('reads nothing more of a session that is detached, and answers what it has read', async () => {
    const later = Promise.withResolvers<Uint8Array>()
    const { server, events, tell, attach } = start(() => Object.assign(new DummyFs(), { read: () => later.promise }))
    const kernel = attach('a')
    writeSync(kernel, reading('READ', 1n, FILE, FILE))
    server.turn(1000)
    tell({ type: 'detach', id: 'a' })
    assert.deepEqual(events.at(-1), { type: 'detached', id: 'a' })
    writeSync(kernel, getattr(2n, FILE))
    server.turn(0)
    later.resolve(Buffer.from('x'))
    await setImmediate()
    assert.deepEqual(reply(kernel), [1n, 0])
    assert.throws(() => reply(kernel), { code: 'EAGAIN' })
  })

  it('drains at once when nothing is owed, and otherwise as soon as the last answer is written, with nothing to wake it', async () => {
    const none = start()
    none.attach('a')
    none.tell({ type: 'drain' })
    assert.deepEqual(none.events.at(-1), { type: 'drained' })

    const later = Promise.withResolvers<Uint8Array>()
    const { server, events, tell, attach } = start(() => Object.assign(new DummyFs(), { read: () => later.promise }))
    const kernel = attach('a')
    writeSync(kernel, reading('READ', 1n, FILE, FILE))
    server.turn(1000)
    tell({ type: 'drain' })
    assert.ok(!events.some(({ type }) => type === 'drained'))
    writeSync(kernel, getattr(2n, FILE))
    later.resolve(Buffer.from('x'))
    await setImmediate()
    assert.equal(server.awaited, 0)
    const begun = performance.now()
    server.turn(20_000)
    assert.ok(performance.now() - begun < 10_000)
    assert.deepEqual(events.at(-1), { type: 'drained' })
    assert.deepEqual(reply(kernel), [1n, 0])
    assert.throws(() => reply(kernel), { code: 'EAGAIN' })
  })

  it('ends a session whose device cannot be watched', () => {
    const { events, tell } = start()
    tell({ type: 'attach', session: { id: 'a', fd: 9999, options: [], faults: ['a'], resend: false, holdInit: false } })
    const last = events.at(-1)
    assert.ok(last?.type === 'ended' && last.outcome.kind === 'refused')
    assert.match(last.outcome.message, /epoll_ctl/)
  })
})
