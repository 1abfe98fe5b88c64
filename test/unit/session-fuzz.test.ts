import assert from 'node:assert/strict'
import { writeSync } from 'node:fs'
import { constants } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { DummyFs } from '../../src/dummyfs/dummyfs.ts'
import { OPCODE } from '../../src/fuse/protocol/constants.ts'
import { getattr, init, reading, type Reply } from '../support/fake-device.ts'
import { ALL_FLAGS, FILE, startSession } from '../support/faked-session.ts'
import { REQUESTS as ALL_REQUESTS } from '../support/fuse-traffic-requests.ts'
import { fuzzedRequest } from '../support/kernel-requests.ts'
import { GREETING } from '../support/mounts.ts'
import { seedOf } from '../support/random.ts'
import { SocketSessions } from '../support/socket-sessions.ts'

const { EIO, ENOSYS, EPROTO } = constants.errno

/** DUMMY_FUSE_KERNEL_REQUESTS sets another number, DUMMY_FUSE_SEED the seed of another run. */
const REQUESTS = Number(process.env.DUMMY_FUSE_KERNEL_REQUESTS ?? 10_000)
const SEED = seedOf(process.env)

const HEADER_SIZE = 40
/** The kernel takes no errno beyond (fs/fuse/dev.c, fuse_dev_do_write). */
const MOST_ERRNO = 511
/** Sent between two right requests. */
const BETWEEN = 20
const UNANSWERED: readonly number[] = [OPCODE.FORGET, OPCODE.BATCH_FORGET, OPCODE.INTERRUPT, OPCODE.NOTIFY_REPLY]
/** Opcodes whose request says how many bytes the reply may have, and where. */
const SIZED: readonly number[] = [OPCODE.READ, OPCODE.READDIR, OPCODE.READDIRPLUS]
const SIZE_AT = HEADER_SIZE + 16

/** A file system whose every second read is answered later, so that there are requests to interrupt. */
class LateFs extends DummyFs {
  #late = false

  override read(node: never, offset: number, size: number): Uint8Array {
    const bytes = super.read(node, offset, size)
    this.#late = !this.#late
    return this.#late ? (setImmediate(bytes) as unknown as Uint8Array) : bytes
  }
}

/** Sends fuzzed requests as the kernel would, and holds against the replies what the kernel holds. */
class Kernel {
  readonly #sessions: SocketSessions
  readonly #fd: number
  /** Requests that wait for their reply. */
  readonly #waiting = new Map<bigint, Buffer>()
  readonly answers = new Map<number, number>()
  #unique = 0n

  constructor(sessions: SocketSessions, fd: number) {
    this.#sessions = sessions
    this.#fd = fd
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Gives a request its unique, and every second INTERRUPT the one before it as its target; sends it. */
  send(request: Buffer): void {
    const bytes = Buffer.from(request)
    this.#unique += 2n
    if (bytes.length >= 16) bytes.writeBigUInt64LE(this.#unique, 8)
    const opcode = bytes.length >= 8 ? bytes.readUInt32LE(4) : 0
    const interrupts = opcode === OPCODE.INTERRUPT && bytes.length >= HEADER_SIZE + 8
    if (interrupts && this.#unique % 4n === 0n) bytes.writeBigUInt64LE(this.#unique - 2n, HEADER_SIZE)
    if (bytes.length >= HEADER_SIZE && !UNANSWERED.includes(opcode)) this.#waiting.set(this.#unique, bytes)
    writeSync(this.#fd, bytes)
    this.#sessions.server.turn(1000)
    this.take()
  }

  /** Sends a right request and returns its reply. */
  async ask(request: Buffer): Promise<Reply> {
    this.#unique += 2n
    const unique = this.#unique
    request.writeBigUInt64LE(unique, 8)
    writeSync(this.#fd, request)
    for (;;) {
      this.#sessions.server.turn(0)
      const found = this.take(unique)
      if (found !== undefined) return found
      await setImmediate()
    }
  }

  /** Takes the replies that are there, and returns the one to `asked`. */
  take(asked?: bigint): Reply | undefined {
    let found: Reply | undefined
    for (const reply of this.#sessions.replies(this.#fd)) {
      if (reply.unique === asked) found = reply
      else this.#check(reply)
    }
    return found
  }

  #check({ unique, errno, body }: Reply): void {
    const request = this.#waiting.get(unique)
    assert.ok(request !== undefined, `a reply to ${unique}, which nobody waits for`)
    this.#waiting.delete(unique)
    const title = `${request.toString('hex')}: errno ${errno}, ${body.length} bytes`
    assert.ok(errno >= 0 && errno <= MOST_ERRNO, title)
    if (errno !== 0) assert.equal(body.length, 0, title)
    if (errno === 0 && SIZED.includes(request.readUInt32LE(4))) assert.ok(body.length <= request.readUInt32LE(SIZE_AT), title)
    this.answers.set(errno, (this.answers.get(errno) ?? 0) + 1)
  }
}

describe(`requests that no kernel sends, seed ${SEED}`, () => {
  for (const [options, count] of [
    [[], REQUESTS],
    [['allow_root', 'debug', 'umask=077'], REQUESTS / 5],
  ] as const)
    it(`each have one answer where one is wanted, and right ones are served meanwhile: options '${options.join()}'`, async () => {
      using sessions = new SocketSessions((id) => (id === 'fuzzed' ? new LateFs() : new DummyFs()))
      const kernel = new Kernel(sessions, sessions.attach('fuzzed', options))
      const other = new Kernel(sessions, sessions.attach('other'))
      for (const one of [kernel, other]) assert.equal((await one.ask(init(0n, ALL_FLAGS))).errno, 0)
      for (const [index, request] of fc.sample(fuzzedRequest(), { seed: SEED, numRuns: count }).entries()) {
        kernel.send(request)
        if (index % BETWEEN !== 0) continue
        for (const one of [kernel, other]) {
          assert.equal((await one.ask(reading('READ', 0n, FILE, FILE))).body.toString(), GREETING)
          assert.equal((await one.ask(getattr(0n, 99n))).errno, constants.errno.ESTALE)
        }
      }
      await setImmediate()
      kernel.take()
      assert.equal(kernel.waiting, 0, 'requests without an answer')
      assert.equal(sessions.server.awaited, 0)
      for (const errno of [0, EIO, ENOSYS]) assert.ok((kernel.answers.get(errno) ?? 0) > count / 100, `errno ${errno}`)
      sessions.tell({ type: 'inspect', token: 1, id: 'fuzzed' })
      const inspection = sessions.events.findLast((event) => event.type === 'inspection')?.inspection
      assert.equal(inspection?.pending, 0)
      assert.ok(Object.keys(inspection.counts).every((op) => op in OPCODE))
      const told = sessions.events.filter((event) => event.type !== 'trace' && event.type !== 'inspection')
      assert.deepEqual(
        told.map(({ type }) => type).filter((type) => type !== 'warning'),
        ['initialising', 'initialised', 'initialising', 'initialised'],
      )
      const warnings = told.flatMap((event) => (event.type === 'warning' ? [event.text] : []))
      assert.ok(warnings.length <= 20)
      for (const text of warnings) assert.match(text, /^[\x20-\x7e]{1,200}$/)
    })

  it('begin a session where they are an INIT that can be served; one of another protocol is its end, and after all others it goes on', () => {
    const cases = ALL_REQUESTS.filter(({ op }) => op === 'INIT')
    const begun = new Map<string, number>()
    for (const request of fc.sample(fuzzedRequest(cases), { seed: SEED, numRuns: Math.ceil(REQUESTS / 10) })) {
      const { device, outcomes, told, serve } = startSession()
      serve(request)
      assert.ok(device.replies.length <= 1)
      const how = told.filter((line) => !line.startsWith('warning: ')).join()
      begun.set(how, (begun.get(how) ?? 0) + 1)
      if (how === 'ended') {
        assert.equal(device.replies[0]?.errno, EPROTO)
        assert.ok(outcomes[0]?.kind === 'refused' && outcomes[0].message.startsWith('this kernel speaks version '))
        continue
      }
      serve(getattr(77n, 1n))
      assert.equal(device.replies.at(-1)?.unique, 77n)
    }
    assert.deepEqual([...begun.keys()].sort(), ['', 'ended', 'initialising,initialised'])
  })
})
