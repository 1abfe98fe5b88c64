import { constants } from 'node:os'
import { OPCODE } from '../../src/fuse/protocol/constants.ts'
import type { Device } from '../../src/fuse/session/device.ts'

/** A reply as the kernel would take it apart: struct fuse_out_header and what follows. */
export interface Reply {
  readonly unique: bigint
  /** Positive; 0: success. */
  readonly errno: number
  readonly body: Buffer
}

/** A device whose requests a test puts in, and whose replies it looks at. */
export class FakeDevice implements Device {
  readonly replies: Reply[] = []
  /** What was done in order: `read`, `write`. */
  readonly calls: string[] = []
  readonly #requests: (Buffer | number)[] = []
  /** The errno that the next writes fail with; 0: they do not. */
  refuses = 0
  /** The errnos of the next writes, one each, before {@link refuses} counts. */
  readonly refusesOnce: number[] = []
  closed = false

  /** Puts in a request, or a positive errno that the next read fails with. */
  put(...requests: readonly (Buffer | number)[]): void {
    this.#requests.push(...requests)
  }

  read(buffer: Buffer): number {
    this.calls.push('read')
    const next = this.#requests.shift()
    if (next === undefined) return -constants.errno.EAGAIN
    return typeof next === 'number' ? -next : next.copy(buffer)
  }

  write(buffer: Buffer, length: number): number {
    this.calls.push('write')
    const refusal = this.refusesOnce.shift() ?? this.refuses
    if (refusal > 0) return -refusal
    const bytes = Buffer.from(buffer.subarray(0, length))
    if (bytes.readUInt32LE(0) !== length) throw new Error(`a reply of ${length} bytes says that it has ${bytes.readUInt32LE(0)}`)
    this.replies.push({ unique: bytes.readBigUInt64LE(8), errno: 0 - bytes.readInt32LE(4), body: bytes.subarray(16) })
    return 0
  }

  close(): void {
    this.closed = true
  }
}

/** A request's bytes: its header and `body`. */
export function bytesOf(op: keyof typeof OPCODE | number, unique: bigint, nodeid = 1n, body: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(40)
  header.writeUInt32LE(40 + body.length, 0)
  header.writeUInt32LE(typeof op === 'number' ? op : OPCODE[op], 4)
  header.writeBigUInt64LE(unique, 8)
  header.writeBigUInt64LE(nodeid, 16)
  return Buffer.concat([header, body])
}

/** INIT of version `major.minor` with these flags, struct fuse_init_in as it is from 7.36 on. */
export function init(unique: bigint, flags: bigint, major = 7, minor = 45): Buffer {
  const body = Buffer.alloc(64)
  body.writeUInt32LE(major, 0)
  body.writeUInt32LE(minor, 4)
  body.writeUInt32LE(131_072, 8)
  body.writeUInt32LE(Number(flags & 0xffff_ffffn), 12)
  body.writeUInt32LE(Number(flags >> 32n), 16)
  return bytesOf('INIT', unique, 0n, body)
}

/** READ, READDIR or READDIRPLUS, struct fuse_read_in. */
export function reading(
  op: 'READ' | 'READDIR' | 'READDIRPLUS',
  unique: bigint,
  nodeid: bigint,
  fh: bigint,
  size = 4096,
  offset = 0n,
): Buffer {
  const body = Buffer.alloc(40)
  body.writeBigUInt64LE(fh, 0)
  body.writeBigUInt64LE(offset, 8)
  body.writeUInt32LE(size, 16)
  return bytesOf(op, unique, nodeid, body)
}

/** INTERRUPT of the request with the unique `target`. */
export function interrupt(unique: bigint, target: bigint): Buffer {
  const body = Buffer.alloc(8)
  body.writeBigUInt64LE(target)
  return bytesOf('INTERRUPT', unique, 0n, body)
}

/** GETATTR, struct fuse_getattr_in. */
export function getattr(unique: bigint, nodeid: bigint): Buffer {
  return bytesOf('GETATTR', unique, nodeid, Buffer.alloc(16))
}

/** OPEN or OPENDIR, struct fuse_open_in. */
export function opening(op: 'OPEN' | 'OPENDIR', unique: bigint, nodeid: bigint, flags = 0): Buffer {
  const body = Buffer.alloc(8)
  body.writeUInt32LE(flags, 0)
  return bytesOf(op, unique, nodeid, body)
}
