import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { INIT, NOTIFY, OPCODE } from '../../src/fuse/protocol/constants.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { agreementOf, offer, resends, settle } from '../../src/shield/handshake.ts'
import { newRequest } from '../../src/shield/messages.ts'
import { NodeTable } from '../../src/shield/nodes.ts'
import { translateNotification } from '../../src/shield/notifications.ts'
import { Pending } from '../../src/shield/pending.ts'
import { small } from '../../src/shield/small-numbers.ts'
import { ShieldState } from '../../src/shield/state.ts'

/** A warning that must not come. */
const neverCalled = (why?: string): never => {
  throw new Error(why)
}

const ALL = 0xffffffff

/** A kernel's INIT of 7.45, with all flags. */
function init(): Buffer {
  const request = newRequest(OPCODE.INIT, 0n, 64)
  for (const [at, value] of [7, 45, 131072, ALL, ALL].entries()) request.writeUInt32LE(value, 40 + 4 * at)
  return request
}

/** A daemon's answer of so many bytes behind the header, with all flags. */
function answer(size: number): Buffer {
  const reply = Buffer.alloc(16 + 64)
  for (const [at, value] of [7, 45, 131072, ALL, 12 | (9 << 16), 1 << 20, 1, 256, ALL, 2, 30].entries())
    reply.writeUInt32LE(value, 16 + 4 * at)
  return reply.subarray(0, 16 + size)
}

const flagsOf = (message: Buffer, low: number, high: number): bigint =>
  BigInt(message.readUInt32LE(low)) | (BigInt(message.readUInt32LE(high)) << 32n)

describe("the shield's INIT", () => {
  it('offers daemons no flag that gives the kernel something of one daemon alone, and READDIRPLUS, without which some do not start', () => {
    const request = init()
    offer(request)
    const flags = flagsOf(request, 52, 56)
    for (const name of ['PASSTHROUGH', 'HAS_RESEND', 'OVER_IO_URING', 'REQUEST_TIMEOUT', 'POSIX_LOCKS', 'EXPORT_SUPPORT'] as const)
      assert.equal(flags & INIT[name], 0n, name)
    for (const name of ['DO_READDIRPLUS', 'WRITEBACK_CACHE', 'MAX_PAGES', 'ALLOW_IDMAP'] as const)
      assert.notEqual(flags & INIT[name], 0n, name)
  })

  it('tells the kernel nothing that was not offered, no READDIRPLUS, no time limit and no message that is too large', () => {
    const reply = answer(64)
    settle(reply)
    const flags = flagsOf(reply, 28, 48)
    for (const name of ['PASSTHROUGH', 'OVER_IO_URING', 'DO_READDIRPLUS', 'READDIRPLUS_AUTO'] as const)
      assert.equal(flags & INIT[name], 0n, name)
    assert.notEqual(flags & INIT.WRITEBACK_CACHE, 0n)
    const [maxWrite, maxPages] = [reply.readUInt32LE(36), reply.readUInt16LE(44)]
    assert.deepEqual([maxWrite, maxPages, reply.readUInt32LE(52), reply.readUInt16LE(56)], [128 * 1024, 32, 0, 0])
  })

  it('tells whether the kernel sends requests again that were read', () => {
    const younger = init()
    const older = init()
    older.writeUInt32LE(0xffffff7f, 40 + 4 * 4)
    assert.deepEqual([younger, older, younger.subarray(0, 40 + 16)].map(resends), [true, false, false])
  })

  it('takes the short answer of an old daemon, and keeps apart those that agree on different things', () => {
    const short = answer(24)
    settle(short)
    const long = answer(64)
    settle(long)
    assert.equal(short.length, 16 + 24)
    assert.equal(agreementOf(short), agreementOf(Buffer.from(short)))
    assert.notEqual(agreementOf(short), agreementOf(long))
  })
})

describe("the shield's notifications", () => {
  const nodes = new NodeTable(false, () => undefined, ShieldState.create(new Libc(new AddonLoader()), neverCalled))
  nodes.begin()
  const node = nodes.found(nodes.root, 'f', { daemonId: 77n, ino: 77n, mode: 0o100644 })
  const notification = (code: number, ...fields: bigint[]): Buffer => {
    const message = Buffer.alloc(16 + 8 * fields.length)
    message.writeUInt32LE(message.length)
    message.writeInt32LE(code, 4)
    for (const [at, field] of fields.entries()) message.writeBigUInt64LE(field, 16 + 8 * at)
    return message
  }

  it('name the node as the kernel knows it', () => {
    assert.deepEqual(
      translateNotification(notification(NOTIFY.INVAL_INODE, 77n, 0n, 0n), nodes),
      notification(NOTIFY.INVAL_INODE, node.id, 0n, 0n),
    )
    assert.deepEqual(
      translateNotification(notification(NOTIFY.DELETE, 1n, 77n, 1n), nodes),
      notification(NOTIFY.DELETE, 1n, node.id, 1n),
    )
    assert.deepEqual(translateNotification(notification(NOTIFY.INC_EPOCH), nodes), notification(NOTIFY.INC_EPOCH))
  })

  it('are dropped if the kernel does not know the node, if they are cut off, and if they ask for requests again', () => {
    for (const message of [
      notification(NOTIFY.INVAL_INODE, 78n, 0n, 0n),
      notification(NOTIFY.INVAL_INODE),
      notification(NOTIFY.RESEND),
      notification(NOTIFY.RETRIEVE, 1n, 77n, 0n, 0n),
    ])
      assert.equal(translateNotification(message, nodes), undefined)
  })
})

describe('numbers of 64 bits', () => {
  for (const number of [
    0n,
    1n,
    0xffffffffn,
    1n << 32n,
    (1n << 53n) - 1n,
    1n << 53n,
    (1n << 53n) + 1n,
    (1n << 63n) | 5n,
    (1n << 64n) - 1n,
  ])
    it(`are the same again after they were stored: ${number}`, () => {
      assert.equal(BigInt(small(number)), number)
    })
})

describe("the shield's requests", () => {
  it('find the names and nodes of a rename, and whether it is an exchange', () => {
    const names = Buffer.from('old\0new\0')
    const request = newRequest(OPCODE.RENAME2, 5n, 16 + names.length)
    request.writeBigUInt64LE(6n, 40)
    request.writeUInt32LE(2, 48)
    names.copy(request, 56)
    const pending = Pending.of(request)
    assert.deepEqual([pending?.nodeid, pending?.otherNodeid, pending?.names, pending?.isExchange], [5n, 6n, ['old', 'new'], true])
  })

  it('must not be done twice if they are an ioctl(2) other than that of isatty(3), or an exchange of names', () => {
    const ioctl = (command: number): Buffer => {
      const request = newRequest(OPCODE.IOCTL, 5n, 32)
      request.writeUInt32LE(command, 52)
      return request
    }
    const TCGETS = 0x5401
    assert.equal(Pending.of(ioctl(TCGETS))?.once, false)
    assert.equal(Pending.of(ioctl(TCGETS + 1))?.once, true)
    const rename = (flags: number): Buffer => {
      const request = newRequest(OPCODE.RENAME2, 5n, 20)
      request.writeUInt32LE(flags, 48)
      return request
    }
    assert.deepEqual([Pending.of(rename(1))?.once, Pending.of(rename(2))?.once], [false, true])
  })

  it('have names that end with the body where no NUL ends them', () => {
    const request = newRequest(OPCODE.UNLINK, 5n, 3)
    request.write('abc', 40)
    assert.deepEqual(Pending.of(request)?.names, ['abc', ''])
  })

  it('are none where an opcode is not passed on', () => {
    assert.equal(Pending.of(newRequest(OPCODE.COPY_FILE_RANGE, 1n, 56)), undefined)
  })
})
