import assert from 'node:assert/strict'
import { closeSync, existsSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import os from 'node:os'
import { once } from 'node:events'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { codeOf } from '../../src/errors.ts'
import type { RunningSession } from '../../src/fuse/session/attached-session.ts'
import { SessionEngine } from '../../src/fuse/session/engine.ts'
import type { ThreadData } from '../../src/fuse/session/thread.ts'
import { Logger } from '../../src/log.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { dummyFileSystem } from '../../src/programs/file-systems.ts'
import { kernelResends, openEngine } from '../../src/programs/fused/engine.ts'
import { bytesOf, getattr, init, opening, reading, type Reply } from '../support/fake-device.ts'
import { FILE } from '../support/faked-session.ts'
import { ROOT } from '../support/paths.ts'
import { readReply, socketDevice } from '../support/socket-sessions.ts'
import { eventually } from '../support/wait.ts'

const libc = new Libc(new AddonLoader())
const NO_FLAGS = 0n
/** Milliseconds. */
const A_WHILE = 30_000

// Each engine has a listener for the end of the process.
process.setMaxListeners(20)

/** An engine of dummy-fused, and the kernel's ends of its sessions' devices. */
class EngineInTest implements AsyncDisposable {
  readonly lines: string[] = []
  readonly lost: Error[] = []
  readonly engine: SessionEngine
  readonly #kernels: number[] = []

  constructor() {
    const log = new Logger((line, level) => this.lines.push(`${level} ${line.slice(20)}`))
    this.engine = openEngine(0, libc, log, (error) => this.lost.push(error))
  }

  /** Attaches a session; gives the kernel's end of its device too. */
  attach(
    id: string,
    { holdInit = false, faults = [], options = [] }: { holdInit?: boolean; faults?: string[]; options?: string[] } = {},
  ): { session: RunningSession; kernel: number } {
    const [fd, kernel] = socketDevice()
    this.#kernels.push(kernel)
    return { session: this.engine.attach({ id, fd, options, faults, resend: false, holdInit }), kernel }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A thread that is starting is ended with the process only.
    await this.engine.up
    this.engine.stop()
    for (const fd of this.#kernels) closeSync(fd)
  }
}

/** The reply that is there, if one is. */
function replyOf(kernel: number): Reply | undefined {
  try {
    return readReply(kernel)
  } catch (error) {
    if (codeOf(error) === 'EAGAIN') return undefined
    throw error
  }
}

/** Waits for a reply without letting the event loop of this thread run: only another thread can send it. */
function replyOfThread(kernel: number): Reply {
  const end = performance.now() + A_WHILE
  while (performance.now() < end) {
    const reply = replyOf(kernel)
    if (reply !== undefined) return reply
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
  }
  throw new Error('no other thread has sent a reply')
}

describe('the engine of dummy-fused', () => {
  it('serves in the caller’s thread at first, and in its own from then on, and counts on', async () => {
    await using used = new EngineInTest()
    const { kernel, session } = used.attach('a')
    writeSync(kernel, init(1n, NO_FLAGS))
    assert.equal((await eventually('INIT is answered', () => replyOf(kernel))).errno, 0)
    await session.initialised
    await used.engine.up
    writeSync(kernel, getattr(2n, FILE))
    const { unique, errno } = replyOfThread(kernel)
    assert.deepEqual([unique, errno], [2n, 0])
    assert.deepEqual(await used.engine.inspect('a'), { counts: { INIT: 1, GETATTR: 1 }, pending: 0 })
    assert.deepEqual(used.lost, [])
  })

  it('answers a held INIT when it is told to, and gives the session to its thread then', async () => {
    await using used = new EngineInTest()
    await used.engine.up
    const { kernel, session } = used.attach('a', { holdInit: true })
    let answered = false
    session.initialised.then(
      () => (answered = true),
      () => undefined,
    )
    writeSync(kernel, init(1n, NO_FLAGS))
    assert.equal((await session.initialising).minor, 45)
    assert.deepEqual([replyOf(kernel), answered], [undefined, false])
    session.answerInit()
    await session.initialised
    assert.equal((await eventually('INIT is answered', () => replyOf(kernel))).unique, 1n)
    writeSync(kernel, getattr(2n, FILE))
    assert.equal(replyOfThread(kernel).unique, 2n)
  })

  it('keeps a session whose INIT is held although the thread comes up, and answers it', async () => {
    await using used = new EngineInTest()
    const { kernel, session } = used.attach('a', { holdInit: true })
    writeSync(kernel, init(1n, NO_FLAGS))
    await session.initialising
    await used.engine.up
    session.answerInit()
    await session.initialised
    assert.equal((await eventually('INIT is answered', () => replyOf(kernel))).errno, 0)
  })

  it('closes the descriptor of a session that it serves no more, once', async () => {
    await using used = new EngineInTest()
    await used.engine.up
    const { session } = used.attach('a')
    session.detach()
    session.detach()
    assert.deepEqual(await session.ended, { kind: 'detached' })
    assert.equal(existsSync(`/proc/self/fd/${session.fd}`), false)
    assert.equal(await used.engine.inspect('a'), undefined)
  })

  it('tells the end of a session whose device fails, and knows it no more', async () => {
    await using used = new EngineInTest()
    await used.engine.up
    const [read, write] = libc.pipe()
    closeSync(read)
    const session = used.engine.attach({ id: 'a', fd: write, options: [], faults: [], resend: false, holdInit: false })
    assert.deepEqual(await session.ended, { kind: 'refused', message: `reading the device gives errno ${constants.errno.EBADF}` })
    assert.equal(existsSync(`/proc/self/fd/${write}`), false)
    // What is told to a session that has ended reaches nobody.
    session.detach()
    assert.equal(await used.engine.inspect('a'), undefined)
  })

  it('drains: what was read is answered, and nothing more is read', async () => {
    await using used = new EngineInTest()
    const { kernel, session } = used.attach('a')
    writeSync(kernel, init(1n, NO_FLAGS))
    await session.initialised
    await used.engine.up
    assert.equal(await used.engine.drain(A_WHILE), true)
    writeSync(kernel, getattr(2n, FILE))
    assert.deepEqual(await used.engine.inspect('a'), { counts: { INIT: 1 }, pending: 0 })
  })

  it('logs warnings and traces with the session’s id', async () => {
    await using used = new EngineInTest()
    const { kernel } = used.attach('a', { options: ['debug'] })
    writeSync(kernel, bytesOf(4095, 1n))
    assert.equal((await eventually('it is answered', () => replyOf(kernel))).errno, constants.errno.ENOSYS)
    writeSync(kernel, init(2n, NO_FLAGS))
    await eventually('INIT is answered', () => replyOf(kernel))
    // Where the thread has come up meanwhile, it has answered, and its lines come as messages after the answer.
    await eventually('INIT is traced', () => used.lines.some((line) => /^warning session a: .*INIT/.test(line)))
    const [warning = '', ...traces] = used.lines
    assert.match(warning, /^warning session a: warning: a request that cannot be read: /)
    assert.ok(traces.some((line) => /^warning session a: .*INIT/.test(line)))
    assert.ok(traces.every((line) => line.startsWith('warning session a: ') && !line.includes('trace:')))
  })

  it('refuses an INIT that it holds when it stops: mount(2) waits for it', async () => {
    await using used = new EngineInTest()
    const { kernel, session } = used.attach('a', { holdInit: true })
    writeSync(kernel, init(1n, NO_FLAGS))
    await session.initialising
    await used.engine.up
    used.engine.stop()
    const { unique, errno } = await eventually('INIT is answered', () => replyOf(kernel))
    assert.deepEqual([unique, errno], [1n, constants.errno.EIO])
    assert.deepEqual(await session.ended, { kind: 'refused', message: 'the process ends' })
  })
})

/** The serving thread of dummy-fused. */
function startServingThread(workerData: ThreadData): Worker {
  return new Worker(join(ROOT, 'src/programs/serving-thread.ts'), { workerData, env: {}, execArgv: [] })
}

describe('SessionEngine', () => {
  /** An engine whose thread a test starts. */
  function withThread(startThread: (data: ThreadData) => Worker, stopTime: number): { engine: SessionEngine; lost: Error[] } {
    const lost: Error[] = []
    const say = (): void => undefined
    const onLost = (error: Error): void => {
      lost.push(error)
    }
    const parts = { libc, filesystem: dummyFileSystem, startThread, pollTime: 0, stopTime, say, onLost }
    return { engine: new SessionEngine(parts), lost }
  }

  it('is lost when its thread ends, or throws', async () => {
    for (const [code, message] of [
      ['process.exit(0)', 'the thread that serves has ended'],
      ['throw new Error("out of everything")', 'out of everything'],
    ] as const) {
      const { engine, lost } = withThread(() => new Worker(code, { eval: true }), 1)
      engine.up.catch(() => undefined)
      await eventually('it is lost', () => lost.length > 0)
      assert.equal(lost[0]?.message, message)
    }
  })

  it('says that a drain is too late when the file system still owes an answer', async () => {
    let thread: Worker | undefined
    const { engine } = withThread((data) => (thread = startServingThread(data)), A_WHILE)
    await engine.up
    const [fd, kernel] = socketDevice()
    const session = engine.attach({ id: 'a', fd, options: [], faults: ['read-delay=600'], resend: false, holdInit: false })
    writeSync(kernel, init(1n, NO_FLAGS))
    await session.initialised
    writeSync(kernel, opening('OPEN', 2n, FILE))
    writeSync(kernel, reading('READ', 3n, FILE, FILE))
    await eventually('the read is under way', async () => (await engine.inspect('a'))?.pending === 1)
    assert.equal(await engine.drain(50), false)
    engine.stop()
    // It would wait for the answer.
    await thread?.terminate()
    closeSync(kernel)
  })

  it('is not lost when it is stopped, and its thread ends', async () => {
    let thread: Worker | undefined
    const { engine, lost } = withThread((data) => (thread = startServingThread(data)), A_WHILE)
    await engine.up
    assert.ok(thread !== undefined)
    const ended = once(thread, 'exit')
    engine.stop()
    await ended
    assert.deepEqual(lost, [])
  })
})

describe('kernelResends', () => {
  for (const [release, resends] of [
    ['5.15.0-101-generic', false],
    ['6.1.0', false],
    ['6.8.12', false],
    ['6.9.0', true],
    ['6.18.44+', true],
    ['7.0.0-rc1', true],
    ['10.1', true],
  ] as const) {
    it(`is ${resends} on Linux ${release}`, (t) => {
      t.mock.method(os, 'release', () => release)
      syncBuiltinESMExports()
      t.after(() => {
        t.mock.restoreAll()
        syncBuiltinESMExports()
      })
      assert.equal(kernelResends(), resends)
    })
  }
})
