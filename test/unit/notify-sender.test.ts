import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { NotifySender } from '../../src/sd/notify-sender.ts'
import { DatagramSocket } from '../../src/os/sockets/unix-datagram.ts'
import { descriptorsOf, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const libc = new Libc(new AddonLoader())

/** A receiver that reads when the test says so, and a sender to it. */
class Pair implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly path = join(this.sandbox.path, 'notify')
  readonly failures: unknown[] = []
  readonly sender = new NotifySender(libc, this.path, (error) => this.failures.push(error))
  readonly #socket = DatagramSocket.bind(libc, this.path, 4096)
  /** An open file to be stored. */
  readonly fd = openSync('/dev/null', 'r')

  /** Reads what there is; returns the messages, a line of each joined by spaces. Closes what came along. */
  read(): string[] {
    const messages: string[] = []
    for (let next = this.#socket.receive(); next !== undefined; next = this.#socket.receive()) {
      for (const fd of next.descriptors) closeSync(fd)
      messages.push(next.payload.toString().replaceAll('\n', ' '))
    }
    return messages
  }

  /** Reads until a promise settles; returns all that came. */
  async readUntil(settled: Promise<unknown>): Promise<string[]> {
    const messages: string[] = []
    let over = false
    const end = (): void => {
      over = true
    }
    settled.then(end, end)
    await eventually('it settles', () => {
      messages.push(...this.read())
      return over
    })
    return messages
  }

  /** Fills the receiver's queue; resolves when nothing more is sent. */
  fill(): void {
    while (this.sender.offer('X=1'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sender.drop(new Error('the test is over'))
    closeSync(this.#socket.fd)
    closeSync(this.fd)
    await this.sandbox[Symbol.asyncDispose]()
  }
}

/** More than the limit of open files. */
const NO_DESCRIPTOR = 2 ** 30

const STORE = (name: string): string => `FDSTORE=1 FDPOLL=0 FDNAME=${name}`
const REMOVE = (name: string): string => `FDSTOREREMOVE=1 FDNAME=${name}`

describe('NotifySender', () => {
  it('sends at once and in order while the receiver has room', async () => {
    await using pair = new Pair()
    await pair.sender.store('a', [pair.fd])
    pair.sender.say('READY=1')
    pair.sender.unstore('a')
    const passed = pair.sender.barrier()
    assert.deepEqual(await pair.readUntil(passed), [STORE('a'), 'READY=1', REMOVE('a'), 'BARRIER=1'])
    await passed
    assert.deepEqual(pair.failures, [])
  })

  it('takes back what a sender before has stored, though its own store was never sent', async () => {
    await using pair = new Pair()
    await pair.sender.store('a', [pair.fd])
    pair.fill()
    pair.sender.drop(new Error('there is another sender'))
    const sender = new NotifySender(libc, pair.path, (error) => pair.failures.push(error), pair.sender)
    const stored = sender.store('a', [pair.fd])
    const other = sender.store('b', [pair.fd])
    for (const name of ['a', 'b']) sender.unstore(name)
    await assert.rejects(stored, /not to be kept any more/)
    await assert.rejects(other, /not to be kept any more/)
    const passed = sender.barrier()
    const messages = await pair.readUntil(passed)
    await passed
    assert.deepEqual(
      messages.filter((message) => message !== 'X=1'),
      [STORE('a'), REMOVE('a'), 'BARRIER=1'],
    )
    assert.deepEqual(pair.failures, [])
  })

  it('never waits for a receiver that does not read, and sends what is left when it does', async () => {
    await using pair = new Pair()
    pair.fill()
    assert.equal(pair.sender.offer('WATCHDOG=1'), false)
    const stored = pair.sender.store('a', [pair.fd])
    pair.sender.say('READY=1')
    const passed = pair.sender.barrier()
    assert.equal(pair.sender.offer('WATCHDOG=1'), false)
    const messages = await pair.readUntil(Promise.all([stored, passed]))
    assert.deepEqual(
      messages.filter((message) => message !== 'X=1'),
      [STORE('a'), 'READY=1', 'BARRIER=1'],
    )
    assert.equal(pair.sender.offer('WATCHDOG=1'), true)
  })

  it('holds neither messages nor pipes for what is taken back before it is sent', async () => {
    await using pair = new Pair()
    pair.fill()
    const before = descriptorsOf(process.pid).length
    const barriers: Promise<void>[] = []
    for (let round = 0; round < 200; round++) {
      const stored = pair.sender.store(`s${round}`, [pair.fd])
      const rejected = assert.rejects(stored, /not to be kept any more/)
      pair.sender.unstore(`s${round}`)
      await rejected
      barriers.push(pair.sender.barrier())
    }
    assert.ok(descriptorsOf(process.pid).length <= before + 2)
    const messages = await pair.readUntil(Promise.all(barriers))
    assert.deepEqual(
      messages.filter((message) => message !== 'X=1'),
      ['BARRIER=1'],
    )
  })

  it('has one barrier under way, and one more for all that ask meanwhile', async () => {
    await using pair = new Pair()
    const first = pair.sender.barrier()
    const others = Array.from({ length: 50 }, () => pair.sender.barrier())
    assert.deepEqual(await pair.readUntil(Promise.all([first, ...others])), ['BARRIER=1', 'BARRIER=1'])
  })

  it('closes what was stored before it stores the same name anew, and removes names that others have stored', async () => {
    await using pair = new Pair()
    await pair.sender.store('a', [pair.fd])
    pair.fill()
    pair.sender.unstore('a')
    const again = pair.sender.store('a', [pair.fd])
    pair.sender.unstore('predecessors')
    const messages = await pair.readUntil(Promise.all([again, pair.sender.barrier()]))
    assert.deepEqual(
      messages.filter((message) => message !== 'X=1'),
      [STORE('a'), REMOVE('a'), STORE('a'), REMOVE('predecessors'), 'BARRIER=1'],
    )
  })

  it('tells who asked of a descriptor that cannot be sent, and goes on', async () => {
    await using pair = new Pair()
    await assert.rejects(pair.sender.store('a', [NO_DESCRIPTOR]), { code: 'EBADF' })
    await pair.sender.store('b', [pair.fd])
    assert.deepEqual(pair.read(), [STORE('b')])
  })

  it('says of each message that it cannot be sent when there is no receiver, and rejects what is waited for', async () => {
    await using sandbox = new Sandbox()
    const failures: unknown[] = []
    const sender = new NotifySender(libc, join(sandbox.path, 'nobody'), (error) => failures.push(error))
    await assert.rejects(sender.store('a', [0]), { code: 'ENOENT' })
    await assert.rejects(sender.barrier(), { code: 'ENOENT' })
    sender.say('READY=1')
    sender.unstore('a')
    assert.equal(failures.length, 2)
    assert.throws(() => sender.offer('WATCHDOG=1'), { code: 'ENOENT' })
  })

  it('rejects all that is waited for when it is dropped', async () => {
    await using pair = new Pair()
    const underWay = pair.sender.barrier()
    pair.fill()
    const waiting = [underWay, pair.sender.store('a', [pair.fd]), pair.sender.barrier()]
    const rejected = Promise.all(waiting.map((one) => assert.rejects(one, /gone/)))
    pair.sender.drop(new Error('the receiver is gone'))
    await rejected
  })
})
