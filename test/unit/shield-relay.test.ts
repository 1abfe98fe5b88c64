import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { describe, it } from 'node:test'
import { NOTIFY, OPCODE, RESEND_BIT } from '../../src/fuse/protocol/constants.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { DaemonChannel } from '../../src/shield/daemon-channel.ts'
import { ENTRY, IN, MESSAGE_SIZE, OUT } from '../../src/shield/messages.ts'
import { Relay } from '../../src/shield/relay.ts'
import { ShieldState } from '../../src/shield/state.ts'
import { bytesOf, FakeDevice, init, reading } from '../support/fake-device.ts'

const { EINTR, ENOENT, EXDEV } = constants.errno

const libc = new Libc(new AddonLoader())

/** What must not happen. */
const neverCalled = (why?: string): never => {
  throw new Error(why)
}

/** A request as a daemon gets it. */
interface Request {
  readonly op: string
  readonly unique: bigint
  readonly nodeid: bigint
  readonly body: Buffer
  readonly names: readonly string[]
}

/** Whether a daemon that has done a request answers it at once or later; or the errno with which it refuses it. */
type Manner = 'at once' | 'later' | number

/** A daemon with one directory, whose files are numbers, by their names. A name that begins with `dir` is another directory, which has the same files. */
class Daemon {
  readonly channel: DaemonChannel
  readonly #end: DaemonChannel
  readonly files: Map<string, bigint>
  readonly #owed: (() => void)[] = []
  manner: (request: Request) => Manner = () => 'at once'

  constructor(files: Map<string, bigint>) {
    const [ours, theirs] = libc.socketPair()
    this.channel = new DaemonChannel(libc, ours)
    this.#end = new DaemonChannel(libc, theirs)
    this.files = files
  }

  /** Does what it is asked for. Returns how many requests there were. */
  serve(): number {
    const buffer = Buffer.alloc(MESSAGE_SIZE)
    for (let count = 0; ; count++) {
      const length = this.#end.receive(buffer)
      if (length === undefined) return count
      this.#answer(Buffer.from(buffer.subarray(0, length)))
    }
  }

  /** Answers what it was to answer later. */
  answerRest(): void {
    for (const answer of this.#owed.splice(0)) answer()
  }

  close(): void {
    this.channel.close()
    this.#end.close()
  }

  #answer(bytes: Buffer): void {
    const op = Object.entries(OPCODE).find(([, number]) => number === bytes.readUInt32LE(IN.opcode))?.[0] ?? ''
    if (op === 'FORGET') return
    const body = bytes.subarray(IN.body)
    const at = op === 'RENAME' ? 8 : 0
    const names = body.toString('latin1', at).split('\0')
    const request = { op, unique: bytes.readBigUInt64LE(IN.unique), nodeid: bytes.readBigUInt64LE(IN.nodeid), body, names }
    const manner = this.manner(request)
    const result = typeof manner === 'number' ? manner : this.#do(request)
    const answer = (): void => this.#reply(request.unique, result)
    if (manner === 'later') this.#owed.push(answer)
    else answer()
  }

  #do({ op, names: [name = '', newName = ''] }: Request): Buffer | number {
    const file = this.files.get(name)
    switch (op) {
      case 'LOOKUP': {
        const entry = Buffer.alloc(ENTRY.size)
        if (file === undefined) return ENOENT
        entry.writeBigUInt64LE(file, ENTRY.nodeid)
        entry.writeBigUInt64LE(file, ENTRY.ino)
        entry.writeUInt32LE(name.startsWith('dir') ? 0o40755 : 0o100644, ENTRY.mode)
        return entry
      }
      case 'RENAME':
        if (file === undefined) return ENOENT
        this.files.delete(name)
        this.files.set(newName, file)
        return Buffer.alloc(0)
      case 'INIT': {
        const out = Buffer.alloc(64)
        out.writeUInt32LE(7, 0)
        out.writeUInt32LE(45, 4)
        return out
      }
      case 'OPEN':
        return Buffer.alloc(16, 1)
      default:
        return Buffer.alloc(8)
    }
  }

  #reply(unique: bigint, result: Buffer | number): void {
    const body = typeof result === 'number' ? Buffer.alloc(0) : result
    const message = Buffer.concat([Buffer.alloc(OUT.body), body])
    message.writeUInt32LE(message.length, OUT.length)
    message.writeInt32LE(typeof result === 'number' ? -result : 0, OUT.error)
    message.writeBigUInt64LE(unique, OUT.unique)
    this.#end.send(message, message.length)
  }
}

/** A process of the shield without a kernel: its relay, and the daemons that serve one after another. */
class Shield implements Disposable {
  readonly device = new FakeDevice()
  readonly state: ShieldState
  readonly relay: Relay
  readonly notified: Buffer[] = []
  #daemon: Daemon | undefined
  #unique = 2n

  constructor(state: ShieldState) {
    this.state = state
    const hooks = {
      ready: () => undefined,
      refused: neverCalled,
      hungUp: neverCalled,
      over: neverCalled,
      warning: neverCalled,
      notify: (messages: Iterable<Buffer>, written?: () => void) => {
        this.notified.push(...messages)
        written?.()
      },
    }
    this.relay = new Relay(this.device, false, hooks, state)
  }

  /** One that has mounted, with a daemon that has these files. */
  static mounted(files: Map<string, bigint>): Shield {
    const shield = new Shield(ShieldState.create(libc, neverCalled))
    shield.device.put(init(2n, 0n))
    shield.relay.serveDevice(1)
    shield.start(files)
    return shield
  }

  /** What takes over when it is killed. `again`: the requests that the kernel sends again. */
  successor(again: readonly Buffer[]): Shield {
    const next = new Shield(ShieldState.adopt(libc, this.state.fd, neverCalled))
    for (const bytes of again) {
      const resent = Buffer.from(bytes)
      resent.writeBigUInt64LE(resent.readBigUInt64LE(IN.unique) | RESEND_BIT, IN.unique)
      next.device.put(resent)
    }
    next.relay.resume()
    next.device.replies.length = 0
    return next
  }

  /** The one that serves. */
  get daemon(): Daemon {
    assert.ok(this.#daemon !== undefined)
    return this.#daemon
  }

  /** Ends the daemon, if there is one, and has another one serve. */
  start(files: Map<string, bigint>, manner: Daemon['manner'] = () => 'at once'): Daemon {
    if (this.#daemon !== undefined) {
      this.relay.disconnect()
      this.#daemon.close()
    }
    const daemon = new Daemon(files)
    daemon.manner = manner
    this.#daemon = daemon
    this.relay.connect(daemon.channel)
    this.run()
    return daemon
  }

  /** Has all do what they can. */
  run(): void {
    for (;;) {
      const count = this.relay.serveDevice(1) + (this.#daemon?.serve() ?? 0) + this.relay.serveChannel(1)
      if (count === 0) return
    }
  }

  /** The kernel asks for something, of the root if of nothing else; returns the request. */
  ask(op: keyof typeof OPCODE, body: Buffer, node = 1n): Buffer {
    const bytes = bytesOf(op, (this.#unique += 2n), node, body)
    this.put(bytes)
    return bytes
  }

  put(bytes: Buffer): void {
    this.device.put(bytes)
    this.run()
  }

  /** The kernel learns of a file. Returns its node. */
  lookUp(name: string, directory = 1n): bigint {
    return this.answerTo(this.ask('LOOKUP', Buffer.from(`${name}\0`), directory)).body.readBigUInt64LE(ENTRY.nodeid)
  }

  /** The kernel learns of a file and opens it to read. Returns its node and its handle. */
  open(name: string, directory = 1n): readonly [node: bigint, handle: bigint] {
    const node = this.lookUp(name, directory)
    return [node, this.answerTo(this.ask('OPEN', Buffer.alloc(8), node)).body.readBigUInt64LE()]
  }

  /** The kernel reads from an open file; returns the request. */
  read([node, handle]: readonly [node: bigint, handle: bigint]): Buffer {
    const bytes = reading('READ', (this.#unique += 2n), node, handle)
    this.put(bytes)
    return bytes
  }

  /** The caller of a request is killed. */
  kill(request: Buffer): void {
    const target = Buffer.alloc(8)
    target.writeBigUInt64LE(request.readBigUInt64LE(IN.unique))
    this.ask('INTERRUPT', target)
    assert.equal(this.answerTo(request).errno, EINTR)
  }

  /** What the kernel was answered. */
  answerTo(bytes: Buffer): { readonly errno: number; readonly body: Buffer } {
    const answer = this.device.replies.find(({ unique }) => (unique & ~RESEND_BIT) === bytes.readBigUInt64LE(IN.unique))
    assert.ok(answer !== undefined, 'there is no answer')
    return answer
  }

  [Symbol.dispose](): void {
    this.#daemon?.close()
  }
}

function renaming(name: string, newName: string): Buffer {
  const body = Buffer.concat([Buffer.alloc(8), Buffer.from(`${name}\0${newName}\0`)])
  body.writeBigUInt64LE(1n)
  return body
}

/** struct fuse_flush_in and fuse_release_in. */
function handleBody(handle: bigint): Buffer {
  const body = Buffer.alloc(24)
  body.writeBigUInt64LE(handle)
  return body
}

/** Has `b` opened, and `a` renamed to it, which the daemon answers later. Returns the request, and what the files were before the daemon did that. */
function renameOver(shield: Shield): readonly [request: Buffer, before: Map<string, bigint>] {
  shield.open('b')
  const before = new Map<string, bigint>()
  shield.daemon.manner = (request) => {
    const manner = silent(request)
    if (manner === 'later') for (const [name, file] of shield.daemon.files) before.set(name, file)
    return manner
  }
  const request = shield.ask('RENAME', renaming('a', 'b'))
  assert.deepEqual([before.get('a'), before.get('b')], [10n, undefined])
  return [request, before]
}

const newFiles = (): Map<string, bigint> =>
  new Map([
    ['a', 10n],
    ['b', 11n],
  ])

/** Refuses to rename `a`, and does all else. */
const refusing: Daemon['manner'] = ({ op, names }) => (op === 'RENAME' && names[0] === 'a' ? EXDEV : 'at once')
/** Renames `a`, and answers later. */
const silent: Daemon['manner'] = ({ op, names }) => (op === 'RENAME' && names[0] === 'a' ? 'later' : 'at once')

describe("the shield's relay", () => {
  it('gives an open file its name back if the rename over it is refused after the shield was killed', () => {
    using first = Shield.mounted(newFiles())
    const [rename, left] = renameOver(first)
    using next = first.successor([rename])
    next.start(left, refusing)
    assert.equal(next.answerTo(rename).errno, EXDEV)
    assert.deepEqual(left, newFiles())
    assert.deepEqual([next.relay.hidesFiles, next.successor([]).relay.hidesFiles], [false, false])
  })

  for (const isKilled of [false, true])
    it(`gives an open file its name back if nobody has done a rename over it whose caller was killed${isKilled ? ', and the shield too' : ''}`, () => {
      using first = Shield.mounted(newFiles())
      const [rename, left] = renameOver(first)
      first.kill(rename)
      using next = isKilled ? first.successor([]) : first
      next.start(left)
      assert.deepEqual(left, newFiles())
      assert.equal(next.relay.hidesFiles, false)
    })

  it('leaves a file hidden whose name a rename has taken whose caller was killed', () => {
    const files = newFiles()
    using shield = Shield.mounted(files)
    const [rename] = renameOver(shield)
    shield.kill(rename)
    shield.start(files)
    assert.equal(files.get('b'), 10n)
    assert.equal(shield.relay.hidesFiles, true)
  })

  it('finds an open file again whose rename the daemon has done and not yet answered', () => {
    const files = newFiles()
    using shield = Shield.mounted(files)
    const held = shield.open('a')
    const daemon = shield.start(files, silent)
    const rename = shield.ask('RENAME', renaming('a', 'c'))
    const read = shield.read(held)
    daemon.answerRest()
    shield.run()
    assert.deepEqual([shield.answerTo(rename).errno, shield.answerTo(read).errno], [0, 0])
    assert.equal(shield.relay.counts.lost, 0)
  })

  it('removes a hidden file that is closed while it is moved out of a directory that is removed, by the name that it gets', () => {
    using shield = Shield.mounted(new Map([...newFiles(), ['dir', 20n]]))
    const directory = shield.lookUp('dir')
    const [node, handle] = shield.open('a', directory)
    assert.equal(shield.answerTo(shield.ask('UNLINK', Buffer.from('a\0'), directory)).errno, 0)
    const removed: bigint[] = []
    shield.daemon.manner = ({ op, nodeid }) => {
      if (op === 'UNLINK') removed.push(nodeid)
      return op === 'RENAME' ? 'later' : 'at once'
    }
    const rmdir = shield.ask('RMDIR', Buffer.from('dir\0'))
    shield.ask('RELEASE', handleBody(handle), node)
    assert.deepEqual(removed, [])
    shield.daemon.answerRest()
    shield.run()
    assert.deepEqual(removed, [1n])
    assert.equal(shield.answerTo(rmdir).errno, 0)
    assert.equal(shield.relay.hidesFiles, false)
  })

  it('answers the FLUSH of a file that is open to be read, which a killed process waits for, though the daemon hangs', () => {
    using shield = Shield.mounted(newFiles())
    const [node, handle] = shield.open('a')
    shield.daemon.manner = ({ op }) => neverCalled(op)
    assert.equal(shield.answerTo(shield.ask('FLUSH', handleBody(handle), node)).errno, 0)
  })

  it('asks a daemon once for what it owes, also after a refused upgrade', () => {
    const files = newFiles()
    using shield = Shield.mounted(files)
    const asked: string[] = []
    shield.daemon.manner = ({ op }) => {
      asked.push(op)
      return 'later'
    }
    shield.ask('MKDIR', Buffer.concat([Buffer.alloc(8), Buffer.from('new\0')]))
    shield.relay.hold(neverCalled)
    shield.relay.release()
    shield.run()
    assert.deepEqual(asked, ['MKDIR'])
  })

  it('has the contents of a file that is read forgotten when that is over: until then a notification would wait in the kernel', () => {
    const files = newFiles()
    using shield = Shield.mounted(files)
    const [read, other] = [shield.open('a'), shield.open('b')]
    const daemon = shield.start(files, ({ op }) => (op === 'READ' ? 'later' : 'at once'))
    shield.read(read)
    shield.state.note({ cachesDiffer: true })
    shield.relay.forgetCaches(() => undefined)
    const forgotten = (): readonly (readonly [node: bigint, offset: bigint])[] =>
      shield.notified
        .splice(0)
        .filter((message) => message.readInt32LE(OUT.error) === NOTIFY.INVAL_INODE)
        .map((message) => [message.readBigUInt64LE(OUT.body), message.readBigInt64LE(OUT.body + 8)])
    assert.deepEqual(forgotten(), [
      [1n, 0n],
      [read[0], -1n],
      [other[0], 0n],
    ])
    assert.equal(shield.state.facts.cachesDiffer, true)
    daemon.answerRest()
    shield.run()
    assert.deepEqual(forgotten(), [[read[0], 0n]])
    assert.equal(shield.state.facts.cachesDiffer, false)
  })
})
