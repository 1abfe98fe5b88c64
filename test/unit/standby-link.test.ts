import assert from 'node:assert/strict'
import { closeSync, rmSync, writeSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { AttachedSession } from '../../src/fuse/session/attached-session.ts'
import { Sessions } from '../../src/fused/sessions.ts'
import { StandbyLink } from '../../src/fused/standby-link.ts'
import { HANDOVER } from '../../src/fused/standby-socket.ts'
import { Logger } from '../../src/log.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { DatagramSocket } from '../../src/os/sockets/unix-datagram.ts'
import { Sandbox } from '../support/sandbox.ts'
import { sessionRecord } from '../support/session-records.ts'
import { eventually } from '../support/wait.ts'

const libc = new Libc(new AddonLoader())
/** Longer than any test. In milliseconds. */
const FOR_EVER = 600_000

const store = (name: string): string => `FDSTORE=1 FDPOLL=0 FDNAME=${name}`
const unstore = (name: string): string => `FDSTOREREMOVE=1 FDNAME=${name}`

/** A standby that reads when the test says so, and holds what it is sent until it ends. */
class StandbyInTest implements Disposable {
  /** What it has read, a message's lines joined by spaces. */
  readonly messages: string[] = []
  /** What came with the first message: the daemon's life, and its own. */
  introduction: readonly number[] = []
  readonly #socket: DatagramSocket
  readonly #held: number[] = []
  #ended = false

  constructor(path: string) {
    this.#socket = DatagramSocket.bind(libc, path, 4096)
  }

  /** Takes in what has come; returns all messages so far. */
  read(): readonly string[] {
    for (let next = this.#socket.receive(); next !== undefined; next = this.#socket.receive()) {
      const text = next.payload.toString().replaceAll('\n', ' ')
      this.messages.push(text)
      if (text === store('daemon')) this.introduction = next.descriptors
      if (text === 'BARRIER=1') for (const fd of next.descriptors) closeSync(fd)
      else this.#held.push(...next.descriptors)
    }
    return this.messages
  }

  /** Answers that it serves, or not, through the pipe that came with {@link HANDOVER}. */
  answer(text: string): void {
    const fd = this.#held.pop()
    assert.ok(fd !== undefined)
    writeSync(fd, text)
    closeSync(fd)
  }

  /** Ends as a process does that is killed: its socket stays and refuses, and all that it holds is closed. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.read()
    closeSync(this.#socket.fd)
    for (const fd of this.#held) closeSync(fd)
  }

  [Symbol.dispose](): void {
    this.end()
  }
}

/** Begins a link, and has its standby take the greeting in. */
async function greeted(daemon: LinkInTest, standby: StandbyInTest): Promise<void> {
  const begun = daemon.link.begin()
  standby.read()
  await begun
}

/** The link of a daemon that serves the session `s` and holds the session `h`. */
class LinkInTest implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly socket: string
  readonly lines: string[] = []
  readonly link: StandbyLink
  /** How often a standby has ended. */
  ends = 0
  readonly #pipe = libc.pipe()

  constructor(patience = FOR_EVER, folder = 'state') {
    this.socket = join(this.sandbox.directory('state'), '..', folder, 'standby.sock')
    const [fd, other] = this.#pipe
    const sessions = new Sessions()
    const attachment = { id: 's', fd, options: [], faults: [], resend: false, holdInit: false }
    const running = new AttachedSession(attachment, () => undefined)
    sessions.add({ kind: 'served', record: sessionRecord('s', '/s', 1), running })
    sessions.add({ kind: 'held', id: 'h', fd: other, record: undefined, why: 'a test' })
    this.link = new StandbyLink({
      libc,
      socket: this.socket,
      sessions,
      patience,
      onEnd: () => this.ends++,
      log: new Logger((line) => this.lines.push(line.slice(20))),
    })
  }

  /** A descriptor that stays open. */
  get fd(): number {
    return this.#pipe[0]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const fd of this.#pipe) closeSync(fd)
    await this.sandbox[Symbol.asyncDispose]()
  }
}

/** Whether a promise is settled once everything that waits for no other process has run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  const note = (): void => {
    settled = true
  }
  promise.then(note, note)
  for (let turn = 0; turn < 10; turn++) await setImmediate()
  return settled
}

const never = new AbortController().signal

describe('StandbyLink', () => {
  it('waits for nobody where there is no standby', async () => {
    await using daemon = new LinkInTest()
    const { link } = daemon
    await link.begin()
    link.store('a', daemon.fd)
    link.unstore('a')
    await link.barrier(never)
    assert.equal(await link.handOver(), false)
    assert.equal(await isSettled(link.found()), false)
    assert.deepEqual([daemon.lines, daemon.ends], [[], 0])
  })

  it('introduces itself, gives copies of what it serves and holds, and waits until they are taken in', async () => {
    await using daemon = new LinkInTest()
    using standby = new StandbyInTest(daemon.socket)
    const begun = daemon.link.begin()
    assert.equal(await isSettled(begun), false)
    assert.deepEqual(standby.read(), [store('daemon'), store('s'), store('h'), 'BARRIER=1'])
    await begun
    const [life, own] = standby.introduction
    assert.ok(life !== undefined && own !== undefined)
    assert.deepEqual(libc.pollErrors([life]), [0], 'the daemon lives')
    assert.deepEqual(daemon.lines, [])
  })

  it('notices a standby that comes later', async () => {
    await using daemon = new LinkInTest()
    await daemon.link.begin()
    using standby = new StandbyInTest(daemon.socket)
    const found = daemon.link.found()
    await eventually('it is introduced', () => standby.read().length === 4)
    await found
    assert.deepEqual(standby.messages, [store('daemon'), store('s'), store('h'), 'BARRIER=1'])
    daemon.link.store('t', daemon.fd)
    daemon.link.unstore('s')
    assert.deepEqual(standby.read().slice(4), [store('t'), unstore('s')])
  })

  it('asks for a barrier only after something was taken back, and once for each', async () => {
    await using daemon = new LinkInTest()
    using standby = new StandbyInTest(daemon.socket)
    await greeted(daemon, standby)
    await daemon.link.barrier(never)
    assert.equal(standby.read().length, 4)
    daemon.link.unstore('s')
    const passed = daemon.link.barrier(never)
    assert.equal(await isSettled(passed), false)
    assert.deepEqual(standby.read().slice(4), [unstore('s'), 'BARRIER=1'])
    await passed
    await daemon.link.barrier(never)
    assert.equal(standby.read().length, 6)
  })

  it('stops to wait with the call’s own reason, and the next call waits again', async () => {
    await using daemon = new LinkInTest()
    using standby = new StandbyInTest(daemon.socket)
    await greeted(daemon, standby)
    daemon.link.unstore('s')
    const reason = new Error('the call is over')
    const call = new AbortController()
    const left = daemon.link.barrier(call.signal)
    call.abort(reason)
    await assert.rejects(left, reason)
    const passed = daemon.link.barrier(never)
    assert.equal(await isSettled(passed), false)
    // The barrier of the next call is sent when the first one is passed.
    await eventually('it is passed', async () => {
      standby.read()
      return await isSettled(passed)
    })
    assert.deepEqual(daemon.lines, [])
  })

  for (const [title, answer, served] of [
    ['says that it serves', 'x', true],
    ['closes the pipe and says nothing', '', false],
  ] as const) {
    it(`tells a standby that it reads no more, which ${title}`, async () => {
      await using daemon = new LinkInTest()
      using standby = new StandbyInTest(daemon.socket)
      await greeted(daemon, standby)
      const handedOver = daemon.link.handOver()
      assert.equal(await isSettled(handedOver), false)
      assert.deepEqual(standby.read().slice(4), [store(HANDOVER), 'STOPPING=1'])
      standby.answer(answer)
      assert.equal(await handedOver, served)
      assert.deepEqual(daemon.lines, [])
    })
  }

  it('waits once for a standby that hangs, which is waited for again when it goes on', async () => {
    await using daemon = new LinkInTest(3000)
    using standby = new StandbyInTest(daemon.socket)
    await daemon.link.begin()
    const warning = 'the standby has not answered within 3 s; the daemon does not wait for it any longer'
    assert.deepEqual(daemon.lines, [warning])
    daemon.link.unstore('s')
    assert.equal(await isSettled(daemon.link.barrier(never)), true)
    assert.deepEqual(standby.read(), [store('daemon'), store('s'), store('h'), 'BARRIER=1', unstore('s')])
    daemon.link.unstore('t')
    await eventually('it is waited for', async () => {
      daemon.link.unstore('t')
      const passed = daemon.link.barrier(never)
      const waited = !(await isSettled(passed))
      standby.read()
      await passed
      return waited
    })
    assert.deepEqual(daemon.lines, [warning])
  })

  it('does not wait for ever for the answer of a standby that hangs', async () => {
    await using daemon = new LinkInTest(1000)
    using standby = new StandbyInTest(daemon.socket)
    await greeted(daemon, standby)
    assert.equal(await daemon.link.handOver(), false)
    assert.match(daemon.lines.join(), /^the standby has not answered within 1 s; /)
  })

  it('hears of the end of a standby, and waits for it no more', async () => {
    await using daemon = new LinkInTest()
    using standby = new StandbyInTest(daemon.socket)
    await greeted(daemon, standby)
    daemon.link.unstore('s')
    const waiting = daemon.link.barrier(never)
    standby.end()
    daemon.link.unstore('r')
    await waiting
    await eventually('it has heard of it', () => daemon.ends === 1)
    daemon.link.unstore('t')
    await daemon.link.barrier(never)
    assert.equal(await daemon.link.handOver(), false)
    assert.equal(await isSettled(daemon.link.found()), false)
    assert.deepEqual(daemon.lines, [], 'a socket that is gone is worth no warning')
  })

  it('warns of a standby that cannot be sent anything', async () => {
    await using daemon = new LinkInTest()
    using standby = new StandbyInTest(daemon.socket)
    await greeted(daemon, standby)
    standby.end()
    await eventually('it has heard of it', () => daemon.ends === 1)
    rmSync(daemon.socket)
    // Of another kind.
    await using server = createServer().listen(daemon.socket)
    await eventually('it is introduced in vain', () => daemon.lines.length > 0)
    assert.match(daemon.lines[0] ?? '', /^cannot notify the standby: .*EPROTOTYPE/)
    daemon.link.unstore('t')
    await daemon.link.barrier(never)
    assert.ok(server.listening)
  })

  it('turns to a second standby, and waits for the first no more', async () => {
    await using daemon = new LinkInTest()
    using first = new StandbyInTest(daemon.socket)
    const begun = daemon.link.begin()
    assert.equal(await isSettled(begun), false)
    rmSync(daemon.socket)
    using second = new StandbyInTest(daemon.socket)
    await begun
    await eventually('the second is introduced', () => second.read().length >= 4)
    assert.deepEqual(second.messages, [store('daemon'), store('s'), store('h'), 'BARRIER=1'])
    daemon.link.unstore('s')
    assert.deepEqual(second.read().slice(4), [unstore('s')])
    assert.deepEqual(first.read(), [store('daemon'), store('s'), store('h'), 'BARRIER=1'])
  })

  it('goes on where the folder cannot be watched', async () => {
    await using daemon = new LinkInTest(FOR_EVER, 'missing')
    await daemon.link.begin()
    assert.match(daemon.lines.join(), /^cannot watch for a standby: ENOENT/)
  })
})
