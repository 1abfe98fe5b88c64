import assert from 'node:assert/strict'
import { writeSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { DummyFs } from '../../src/dummyfs/dummyfs.ts'
import type { FileSystem } from '../../src/fuse/filesystem.ts'
import { getattr, reading } from '../support/fake-device.ts'
import { SocketSessions } from '../support/socket-sessions.ts'

const FILE = 2n

/** The unique and the errno of the reply that has come to the kernel's end. */
function reply(sessions: SocketSessions, kernel: number): readonly [bigint, number] {
  const { unique, errno } = sessions.reply(kernel)
  return [unique, errno]
}

describe('a server of sessions', () => {
  it('serves each session out of its own file system', () => {
    using sessions = new SocketSessions()
    const { server } = sessions
    const kernels = ['a', 'b', 'c'].map((id) => sessions.attach(id))
    for (const [at, kernel] of kernels.entries()) writeSync(kernel, getattr(BigInt(at + 1), FILE))
    server.turn(1000)
    assert.deepEqual(
      kernels.map((kernel) => reply(sessions, kernel)),
      [
        [1n, 0],
        [2n, 0],
        [3n, 0],
      ],
    )
  })

  it('serves one that sends without end no more than sixteen requests in a row', () => {
    using sessions = new SocketSessions()
    const { server } = sessions
    const [greedy = -1, other = -1] = ['a', 'b'].map((id) => sessions.attach(id))
    for (let at = 1; at <= 40; at++) writeSync(greedy, getattr(BigInt(at), FILE))
    writeSync(other, getattr(99n, FILE))
    server.turn(1000)
    assert.deepEqual(reply(sessions, other), [99n, 0])
    for (let at = 1; at <= 16; at++) assert.deepEqual(reply(sessions, greedy), [BigInt(at), 0])
    assert.throws(() => reply(sessions, greedy), { code: 'EAGAIN' })
  })

  it('passes on twenty warnings of a session, and all of them of the next', () => {
    const broken = (): FileSystem =>
      Object.assign(new DummyFs(), {
        getattr: () => {
          throw new Error('broken')
        },
      })
    using sessions = new SocketSessions(broken)
    const { server, events } = sessions
    for (const id of ['a', 'b']) {
      const kernel = sessions.attach(id)
      for (let at = 1; at <= 50; at++) {
        writeSync(kernel, getattr(BigInt(at), FILE))
        server.turn(1000)
        assert.deepEqual(reply(sessions, kernel), [BigInt(at), 5])
      }
      const warnings = events.filter((event) => event.type === 'warning' && event.id === id)
      assert.equal(warnings.length, 20)
    }
  })

  it('tells what a session has done, and answers whoever names none', () => {
    using sessions = new SocketSessions()
    const { server, events } = sessions
    const kernel = sessions.attach('a')
    writeSync(kernel, getattr(1n, FILE))
    server.turn(1000)
    sessions.tell({ type: 'inspect', token: 7, id: undefined })
    sessions.tell({ type: 'inspect', token: 8, id: 'a' })
    sessions.tell({ type: 'inspect', token: 9, id: 'none' })
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
    using sessions = new SocketSessions(() => Object.assign(new DummyFs(), { read: () => later.promise }))
    const { server, events } = sessions
    const kernel = sessions.attach('a')
    writeSync(kernel, reading('READ', 1n, FILE, FILE))
    server.turn(1000)
    sessions.tell({ type: 'detach', id: 'a' })
    assert.deepEqual(events.at(-1), { type: 'detached', id: 'a' })
    writeSync(kernel, getattr(2n, FILE))
    server.turn(0)
    later.resolve(Buffer.from('x'))
    await setImmediate()
    assert.deepEqual(reply(sessions, kernel), [1n, 0])
    assert.throws(() => reply(sessions, kernel), { code: 'EAGAIN' })
  })

  it('drains at once when nothing is owed, and otherwise as soon as the last answer is written, with nothing to wake it', async () => {
    using none = new SocketSessions()
    none.attach('a')
    none.tell({ type: 'drain' })
    assert.deepEqual(none.events.at(-1), { type: 'drained' })

    const later = Promise.withResolvers<Uint8Array>()
    using sessions = new SocketSessions(() => Object.assign(new DummyFs(), { read: () => later.promise }))
    const { server, events } = sessions
    const kernel = sessions.attach('a')
    writeSync(kernel, reading('READ', 1n, FILE, FILE))
    server.turn(1000)
    sessions.tell({ type: 'drain' })
    assert.ok(!events.some(({ type }) => type === 'drained'))
    writeSync(kernel, getattr(2n, FILE))
    later.resolve(Buffer.from('x'))
    await setImmediate()
    assert.equal(server.awaited, 0)
    const begun = performance.now()
    server.turn(20_000)
    assert.ok(performance.now() - begun < 10_000)
    assert.deepEqual(events.at(-1), { type: 'drained' })
    assert.deepEqual(reply(sessions, kernel), [1n, 0])
    assert.throws(() => reply(sessions, kernel), { code: 'EAGAIN' })
  })

  it('ends a session whose device cannot be watched', () => {
    using sessions = new SocketSessions()
    const { events } = sessions
    sessions.tell({ type: 'attach', session: { id: 'a', fd: 9999, options: [], faults: ['a'], resend: false, holdInit: false } })
    const last = events.at(-1)
    assert.ok(last?.type === 'ended' && last.outcome.kind === 'refused')
    assert.match(last.outcome.message, /epoll_ctl/)
  })
})
