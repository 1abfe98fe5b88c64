import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { RunningCall } from '../../src/call-context.ts'
import { AttachedSession } from '../../src/fuse/session/attached-session.ts'
import { SystemError } from '../../src/errors.ts'
import { FusedDaemon, type DaemonParts } from '../../src/fused/daemon.ts'
import type { MountOrder } from '../../src/fused/mounter.ts'
import { type ServedSession, Sessions } from '../../src/fused/sessions.ts'
import { FusedParts, startEngine } from '../support/fused-parts.ts'
import { deviceOf } from '../../src/os/mounts/mount-table.ts'
import type { Supervisor } from '../../src/sd/service-manager.ts'
import { layersAt, mount, mountAt, serves, umountLazily } from '../support/mounts.ts'
import { devicesOf, type Running } from '../support/sandbox.ts'
import { sessionRecord } from '../support/session-records.ts'
import { SilentMount } from '../support/silent-mount.ts'
import { eventually } from '../support/wait.ts'

const engine = startEngine()
before(() => engine.up)
after(() => engine.stop())

/** Keepers of descriptors that do what the test says, and tell what they were asked for. */
class KeepersInTest {
  supervisor: Supervisor = 'keep'
  readonly asked: string[] = []
  /** Why there is no room. */
  lack: string | undefined
  storing: (signal: AbortSignal) => Promise<void> = () => Promise.resolve()
  passing: (signal: AbortSignal) => Promise<void> = () => Promise.resolve()

  lacksRoom(count: number): Promise<string | undefined> {
    this.asked.push(`room beside ${count}`)
    return Promise.resolve(this.lack)
  }

  async store(id: string, _fd: number, signal: AbortSignal): Promise<void> {
    this.asked.push(`store ${id}`)
    await this.storing(signal)
  }

  unstore(id: string): void {
    this.asked.push(`unstore ${id}`)
  }

  async barrier(signal: AbortSignal): Promise<void> {
    this.asked.push('barrier')
    await this.passing(signal)
  }

  /** What was asked for since the last time. */
  take(): string[] {
    return this.asked.splice(0)
  }
}

/** A daemon with a real serving thread and real mounts. */
class DaemonInTest extends FusedParts {
  readonly keepers = new KeepersInTest()
  readonly daemon: FusedDaemon
  readonly call = new RunningCall(60_000, { margin: 1000 })
  readonly #mounted = new Set<ServedSession>()

  constructor(change: Partial<DaemonParts> = {}) {
    super(engine)
    const sessions = new Sessions()
    this.daemon = new FusedDaemon({ ...this.parts, sessions, holders: this.keepers, expectsKeeper: true, ...change })
  }

  async mount(name = 'mnt', fault: Partial<MountOrder['fault']> = {}): Promise<ServedSession> {
    const session = await this.daemon.mount(this.order(name, fault), this.call)
    this.#mounted.add(session)
    return session
  }

  /** Mounts, and forgets what the keepers were asked for. */
  async mounted(name = 'mnt'): Promise<ServedSession> {
    const session = await this.mount(name)
    this.keepers.take()
    return session
  }

  /** A process that uses a mount. */
  async user(path: string): Promise<Running> {
    const file = join(path, 'dummy-file.txt')
    const running = this.sandbox.start('sh', ['-c', 'exec 3< "$0"; echo opened; exec sleep 600', file])
    await eventually('it uses the mount', () => running.output().includes('opened'))
    return running
  }

  /** Shows that nothing is left of a session: no mount, record or device. */
  async left(path: string): Promise<void> {
    assert.deepEqual(layersAt(path), [])
    assert.deepEqual([this.records.read(), this.daemon.sessions.all()], [[], []])
    await eventually('no device is open', () => devicesOf(process.pid) === 0)
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.call[Symbol.dispose]()
    // A program that the sandbox unmounts with waits for a session that is not served, and is not closed.
    for (const session of this.daemon.sessions.all()) if (session.kind === 'served') this.#mounted.add(session)
    for (const { running } of this.#mounted) running.detach()
    await Promise.all([...this.#mounted].map(({ running }) => running.ended))
    await super[Symbol.asyncDispose]()
    await eventually('the sessions have ended', () => devicesOf(process.pid) === 0)
  }
}

describe('FusedDaemon.mount', () => {
  it('has the descriptor kept before it answers, and finds the session the next time', async () => {
    await using used = new DaemonInTest()
    let kept: (() => void) | undefined
    used.keepers.storing = () => new Promise((resolve) => (kept = resolve))
    const order = used.order()
    let answered = false
    const mounting = used.daemon.mount(order, used.call).finally(() => (answered = true))
    await eventually('it is to be kept', () => kept)
    await setImmediate()
    assert.deepEqual([answered, layersAt(order.path).length], [false, 1])
    let answeredAgain = false
    const again = used.daemon.mount(order, used.call).finally(() => (answeredAgain = true))
    await setImmediate()
    assert.equal(answeredAgain, false)
    kept?.()
    const session = await mounting
    assert.equal(await again, session, 'the second call waits for the first')
    assert.deepEqual(used.keepers.take(), ['room beside 0', `store ${session.record.id}`])
    assert.deepEqual(used.daemon.sessions.all(), [session])
    assert.deepEqual(used.lines, [])
    assert.deepEqual(
      used.negotiated.map((line) => line.startsWith(`info ${order.path}: INIT negotiated: protocol 7.`)),
      [true],
    )
    assert.ok(await serves(used.sandbox, order.path))
  })

  it('refuses other options or faults for what is mounted', async () => {
    await using used = new DaemonInTest()
    const { record } = await used.mount()
    const order = used.order()
    for (const other of [
      { ...order, options: [...order.options, 'ro'] },
      { ...order, faults: ['read-delay=1'] },
    ]) {
      await assert.rejects(used.daemon.mount(other, used.call), {
        kind: 'conflict',
        message: `${order.path} is served with other options (${record.options.join(',')}); unmount it first`,
      })
    }
    assert.equal(used.daemon.sessions.all().length, 1)
  })

  it('refuses a path whose session is held, and leaves that alone', async () => {
    await using used = new DaemonInTest()
    using silent = new SilentMount(used.order().path)
    const { path, connection, fd } = silent
    const session = { kind: 'held', id: 'h', fd, record: sessionRecord('h', path, connection), why: 'it is newer' } as const
    used.daemon.hold(session)
    await assert.rejects(used.mount(), { kind: 'unavailable', message: `${path} is held for another dummy-fused: it is newer` })
    assert.ok(used.daemon.sessions.has(session))
  })

  it('mounts anew over what somebody has mounted on a session, and says so', async () => {
    await using used = new DaemonInTest()
    const first = await used.mounted()
    mount('-t', 'tmpfs', 'tmpfs', first.record.path)
    const second = await used.mount()
    assert.equal(mountAt(first.record.path).device, deviceOf(second.record.connection))
    assert.deepEqual(used.lines, [
      `warning session ${first.record.id} is no longer at ${first.record.path}: another mount is there`,
    ])
    assert.deepEqual([used.daemon.sessions.all().length, used.daemon.sessions.at(first.record.path)], [2, second])
  })

  it('mounts nothing that would not be kept, and counts the mounts that are under way', async () => {
    await using used = new DaemonInTest()
    const { keepers } = used
    using ending = new RunningCall(60_000, { margin: 1000 })
    const delayed = used.daemon.mount(used.order('delayed', { mountDelay: 600 }), ending)
    await used.mount('b')
    keepers.lack = 'keep has no room'
    await assert.rejects(used.mount('c'), { kind: 'exhausted', message: /\/c is not mounted: keep has no room$/ })
    ending.cancel()
    await assert.rejects(delayed, { kind: 'timeout' })
    await assert.rejects(used.mount('d'), { kind: 'exhausted' })
    assert.deepEqual(
      keepers.take().filter((one) => one.startsWith('room')),
      ['room beside 0', 'room beside 1', 'room beside 2', 'room beside 1'],
    )
    assert.equal(used.daemon.sessions.all().length, 1)
  })

  for (const [title, kind, failure] of [
    ['cannot be reached', 'unavailable', new SystemError('sendmsg', 'ECONNREFUSED', 111)],
    ['has no room for the message', 'exhausted', new SystemError('sendmsg', 'ENOBUFS', 105)],
    ['closes the descriptor', 'unavailable', new Error('it is not to be kept any more')],
  ] as const) {
    it(`takes a mount back whose keeper ${title}`, async () => {
      await using used = new DaemonInTest()
      used.keepers.storing = () => Promise.reject(failure)
      const { path } = used.order()
      const message = `the descriptor of ${path} cannot be kept: ${failure.message}`
      await assert.rejects(used.mount(), (error: Error & { kind?: string }) => {
        assert.equal(error.kind, kind)
        assert.ok(error.message.startsWith(message), error.message)
        return true
      })
      const [, stored = '', ...undone] = used.keepers.take()
      const id = stored.replace('store ', '')
      assert.deepEqual(undone, [`unstore ${id}`, 'barrier'])
      assert.equal(used.lines[0], `warning session ${id} of ${path} ends: ${message}`)
      await used.left(path)
    })
  }

  it('takes a mount back whose keeper does not answer in the call’s time, and within the time for undoing', async () => {
    await using used = new DaemonInTest()
    used.keepers.storing = (signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    const order = used.order()
    const mounting = used.daemon.mount(order, used.call)
    await eventually('it is to be kept', () => used.keepers.asked.length === 2)
    used.call.cancel()
    await assert.rejects(mounting, { kind: 'timeout', message: /cannot be kept: the client has cancelled the call$/ })
    await used.left(order.path)
  })

  it('says what is not undone in time, and it is undone later all the same', async () => {
    await using used = new DaemonInTest()
    used.keepers.storing = () => Promise.reject(new Error('no'))
    used.keepers.passing = () => Promise.reject(new Error('the keeper hangs'))
    const { path } = used.order()
    await assert.rejects(used.mount(), { kind: 'unavailable' })
    assert.match(used.lines.at(-1) ?? '', new RegExp(`^error session .* of ${path} has not ended yet: the keeper hangs$`))
    await used.left(path)
  })

  it('warns of a session that nobody keeps, unless that is expected', async () => {
    for (const expectsKeeper of [true, false]) {
      await using used = new DaemonInTest({ expectsKeeper })
      used.keepers.supervisor = 'none'
      const { record } = await used.mount()
      const warning = `warning no service manager keeps the descriptor of ${record.path}: `
      assert.deepEqual(
        used.lines.map((line) => line.startsWith(warning)),
        expectsKeeper ? [true] : [],
      )
    }
  })
})

describe('FusedDaemon.unmount', () => {
  it('ends a session, and answers when no copy of its descriptor is left', async () => {
    await using used = new DaemonInTest()
    const { record } = await used.mounted()
    let passed: (() => void) | undefined
    used.keepers.passing = () => new Promise((resolve) => (passed = resolve))
    let answered = false
    const unmounting = used.daemon.unmount(record.path, 10_000, used.call).finally(() => (answered = true))
    await eventually('the barrier is asked for', () => passed)
    await setImmediate()
    assert.equal(answered, false)
    assert.deepEqual(used.keepers.take(), [`unstore ${record.id}`, 'barrier'])
    passed?.()
    assert.equal(await unmounting, true)
    assert.deepEqual(used.lines, [`info ${record.path} was unmounted`])
    await used.left(record.path)
  })

  it('has nothing to do where no session is', async () => {
    await using used = new DaemonInTest()
    const path = used.sandbox.directory('mnt')
    mount('-t', 'tmpfs', 'tmpfs', path)
    assert.equal(await used.daemon.unmount(path, 10_000, used.call), false)
    assert.deepEqual([mountAt(path).fsType, used.keepers.asked], ['tmpfs', []])
  })

  it('cuts a session that is still used after the grace', async () => {
    await using used = new DaemonInTest()
    const { record } = await used.mounted()
    const user = await used.user(record.path)
    assert.equal(await used.daemon.unmount(record.path, 20, used.call), true)
    assert.deepEqual(used.lines, [
      `warning session ${record.id} of ${record.path} ends: it was unmounted, and its consumers get ENOTCONN`,
    ])
    assert.deepEqual(used.keepers.take(), [`unstore ${record.id}`, 'barrier'])
    await used.left(record.path)
    assert.equal(user.child.exitCode, null)
  })

  it('does nothing for a call that is over, and one that waits says for what', async () => {
    await using used = new DaemonInTest()
    const { record } = await used.mounted()
    const { path } = record
    used.keepers.passing = () => new Promise(() => undefined)
    using stuck = new RunningCall(1000, { margin: 100 })
    const first = used.daemon.unmount(path, 0, stuck)
    using waiting = new RunningCall(60_000, { margin: 100 })
    const second = used.daemon.unmount(path, 0, waiting)
    waiting.cancel()
    await assert.rejects(second, {
      kind: 'timeout',
      message: `${path}: another call for it is under way, call again: the client has cancelled the call`,
    })
    first.catch(() => undefined)
  })
})

describe('FusedDaemon', () => {
  it('lists and inspects what it serves', async () => {
    await using used = new DaemonInTest()
    const [a, b] = [await used.mount('a'), await used.mount('b')]
    assert.deepEqual(await used.daemon.list([], used.call), [a, b])
    assert.deepEqual(await used.daemon.list([b.record.path, '/nothing'], used.call), [b])
    const { session, inspection } = await used.daemon.inspect(a.record.path, used.call)
    assert.deepEqual([session, inspection?.counts.INIT], [a, 1])
    await assert.rejects(used.daemon.inspect('/nothing', used.call), { kind: 'missing' })
  })

  it('is unavailable when its serving thread does not answer', async () => {
    const silent = {
      attach: engine.attach.bind(engine),
      drain: engine.drain.bind(engine),
      inspect: () => new Promise<never>(() => undefined),
    }
    await using used = new DaemonInTest({ engine: silent })
    const { record } = await used.mount()
    for (const asked of [used.daemon.list([], used.call), used.daemon.inspect(record.path, used.call)]) {
      setTimeout(() => used.call.cancel(), 1)
      await assert.rejects(asked, {
        kind: 'unavailable',
        message: 'the thread that serves does not answer, call again: the client has cancelled the call',
      })
    }
  })

  it('forgets a session that somebody else has unmounted, or aborted', async () => {
    await using used = new DaemonInTest()
    const [a, b] = [await used.mounted('a'), await used.mounted('b')]
    umountLazily(a.record.path)
    await eventually('it is forgotten', () => used.daemon.sessions.all().length === 1)
    assert.deepEqual(used.lines, [`info ${a.record.path} was unmounted`])
    const connections = used.sandbox.directory('connections')
    mount('-t', 'fusectl', 'fusectl', connections)
    writeFileSync(join(connections, String(b.record.connection), 'abort'), '1')
    await eventually('it is forgotten', () => used.daemon.sessions.all().length === 0)
    assert.deepEqual(used.lines.slice(1), [`error the connection of ${b.record.path} was aborted; what is mounted there is dead`])
    assert.deepEqual(used.keepers.take(), [`unstore ${a.record.id}`, `unstore ${b.record.id}`])
    assert.deepEqual(used.records.read(), [])
  })

  it('keeps a descriptor anew under its id alone', async () => {
    await using used = new DaemonInTest()
    const { record, running } = await used.mounted()
    await used.daemon.keepAgain(record.id, running.fd, used.call.signal)
    assert.deepEqual(used.keepers.take(), [`unstore ${record.id}`, `store ${record.id}`])
  })

  it('asks for lost requests again of sessions whose kernel has them', async () => {
    await using used = new DaemonInTest()
    const { sessions } = used.daemon
    const asked: string[] = []
    const served = [true, false].map((resend, index) => {
      const record = sessionRecord(`${index}`.repeat(16), `/${resend}`, index)
      const attachment = { id: record.id, fd: -1, options: [], faults: [], resend, holdInit: false }
      const running = new AttachedSession(attachment, ({ type }) => asked.push(`${type} ${record.path}`))
      return { kind: 'served', record: { ...record, negotiated: { ...record.negotiated, resend } }, running } as const
    })
    for (const session of served) sessions.add(session)
    used.daemon.hold({ kind: 'held', id: 'h', fd: -1, record: undefined, why: 'a test' })
    used.daemon.resend()
    assert.deepEqual(asked, ['resend /true'])
    for (const session of served) sessions.remove(session)
  })

  it('releases a session that it holds, once', async () => {
    await using used = new DaemonInTest()
    using silent = new SilentMount(used.sandbox.directory('mnt'))
    const record = sessionRecord('0'.repeat(16), silent.path, silent.connection)
    used.records.save(record)
    const session = { kind: 'held', id: record.id, fd: silent.give(), record, why: 'it is newer' } as const
    used.daemon.hold(session)
    used.daemon.release(session, 'it is newer')
    used.daemon.release(session, 'it is newer')
    assert.deepEqual(used.lines, [`error session ${record.id} is given up: it is newer; its consumers get ENOTCONN`])
    assert.deepEqual(used.keepers.take(), [`unstore ${record.id}`])
    assert.equal(existsSync(`/proc/self/fd/${session.fd}`), false)
    assert.deepEqual([used.records.read(), used.daemon.sessions.all()], [[], []])
  })

  it('takes off what a session has left, if that is dead, and not what has its number now', async () => {
    await using used = new DaemonInTest()
    const served = await used.mounted('served')
    using dead = new SilentMount(used.sandbox.directory('dead'))
    dead.die()
    const { connection } = served.record
    for (const record of [
      sessionRecord('1'.repeat(16), dead.path, dead.connection),
      sessionRecord('2'.repeat(16), served.record.path, connection),
      sessionRecord('3'.repeat(16), used.sandbox.directory('plain'), connection),
    ]) {
      used.records.save(record)
      await used.daemon.cleanUp(record)
    }
    assert.deepEqual(layersAt(dead.path), [])
    assert.equal(mountAt(served.record.path).device, deviceOf(connection))
    assert.deepEqual(
      used.records.read().map((read) => read.kind === 'record' && read.record.id),
      [served.record.id],
    )
  })

  it('says when a drain leaves requests unanswered', async () => {
    for (const drained of [true, false]) {
      const late = {
        attach: engine.attach.bind(engine),
        inspect: engine.inspect.bind(engine),
        drain: () => Promise.resolve(drained),
      }
      await using used = new DaemonInTest({ engine: late })
      assert.equal(await used.daemon.drain(1000), drained)
      const warnings = drained ? [] : ['warning requests are still unanswered; the successor asks for them again']
      assert.deepEqual(used.lines, warnings)
      await assert.rejects(used.mount(), { kind: 'replaced' })
    }
  })

  it('gives up a mount that hangs when it settles', async () => {
    await using used = new DaemonInTest()
    const hanging = used.mount('hanging', { initHang: true })
    await eventually('it is under way', () => devicesOf(process.pid) === 1)
    const settled = used.daemon.settle(50)
    await assert.rejects(hanging, { kind: 'replaced' })
    await settled
    await used.left(used.order('hanging').path)
  })

  it('stops: unmounts what nobody uses, says of the rest that it ends, and keeps nothing', async () => {
    await using used = new DaemonInTest()
    const { sandbox, daemon, keepers } = used
    const [free, inUse] = [await used.mounted('free'), await used.mounted('used')]
    const bind = sandbox.directory('bind')
    mount('--bind', free.record.path, bind)
    await used.user(inUse.record.path)
    using silent = new SilentMount(sandbox.directory('held'))
    const held = { kind: 'held', id: 'h', fd: silent.give(), record: undefined, why: 'it is newer' } as const
    daemon.hold(held)
    keepers.passing = () => Promise.reject(new Error('the keeper hangs'))
    await daemon.stop(10_000)
    assert.deepEqual([layersAt(free.record.path), layersAt(bind), layersAt(inUse.record.path).length], [[], [], 1])
    const ends =
      'is in use and gets ENOTCONN from now on: dummy-fused was stopped for good, and its descriptor is not kept; restart its consumers'
    assert.deepEqual(used.lines, [
      `info unmounted ${bind}`,
      `info unmounted ${free.record.path}`,
      `info ${free.record.path} was unmounted`,
      `error ${inUse.record.path} ${ends}`,
      `error an unknown path ${ends}`,
      'warning the service manager has not closed the descriptors of all sessions: the keeper hangs',
    ])
    assert.deepEqual(keepers.take(), [`unstore ${free.record.id}`, `unstore ${inUse.record.id}`, 'unstore h', 'barrier'])
    assert.deepEqual([used.records.read(), daemon.sessions.all()], [[], []])
    assert.equal(existsSync(`/proc/self/fd/${held.fd}`), false)
  })
})
