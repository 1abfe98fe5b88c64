import { closeSync } from 'node:fs'
import { SystemError } from '../../errors.ts'
import type { Libc } from '../libc.ts'
import { AF_UNIX, unixAddress } from './unix-address.ts'

/** send(2) and recv(2). */
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000

const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000
const SOL_SOCKET = 1
const SO_PASSCRED = 16
const SCM_RIGHTS = 1
const SCM_CREDENTIALS = 2
const MSG_CTRUNC = 0x8
const MSG_TRUNC = 0x20
const MSG_CMSG_CLOEXEC = 0x40000000

/** Offsets in struct msghdr, and the size of a struct cmsghdr, on 64-bit Linux (bits/socket.h). */
const MSGHDR = { size: 56, name: 0, namelen: 8, iov: 16, iovlen: 24, control: 32, controllen: 40, flags: 48 } as const
const CMSGHDR = 16

/** Room for the 253 descriptors that one message can carry (SCM_MAX_FD, include/net/scm.h), and for the credentials. */
const CONTROL = 2048

/** What came in one datagram. Its descriptors are close-on-exec, and the caller has to close them. */
export interface Datagram {
  readonly payload: Buffer
  readonly descriptors: readonly number[]
  /** The sender, from the kernel; pid 0: it is in another pid namespace. */
  readonly sender: { readonly pid: number; readonly uid: number } | undefined
  /** The payload was longer than the buffer. */
  readonly truncated: boolean
  /** Descriptors were left out, because the buffer or the limit of open files was too small. */
  readonly controlTruncated: boolean
}

/** A unix datagram socket that receives each sender's credentials (unix(7), SCM_CREDENTIALS). */
export class DatagramSocket {
  readonly fd: number
  readonly #libc: Libc
  readonly #payload: Buffer
  readonly #control = Buffer.alloc(CONTROL)
  readonly #vector: Buffer
  readonly #header: Buffer

  private constructor(libc: Libc, fd: number, size: number) {
    this.#libc = libc
    this.fd = fd
    this.#payload = Buffer.alloc(size)
    this.#vector = vectorOf(libc, this.#payload)
    this.#header = headerOf(libc, this.#vector, this.#control)
  }

  /** Binds one; a leading `@` names an abstract one. `size`: the longest payload in bytes. Throws SystemError. */
  static bind(libc: Libc, path: string, size: number): DatagramSocket {
    const fd = openSocket(libc)
    try {
      const on = Buffer.from([1, 0, 0, 0])
      libc.checked('setsockopt', path, 'int setsockopt(int, int, int, void *, uint)', fd, SOL_SOCKET, SO_PASSCRED, on, on.length)
      const address = unixAddress(path)
      libc.checked('bind', path, 'int bind(int, void *, uint)', fd, address, address.length)
      return new DatagramSocket(libc, fd, size)
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }

  /** One end of a pair (socketpair(2)), which the caller closes. `size`: the longest payload in bytes. */
  static ofPair(libc: Libc, fd: number, size: number): DatagramSocket {
    return new DatagramSocket(libc, fd, size)
  }

  /** The next datagram; undefined when none waits. Throws SystemError. */
  receive(): Datagram | undefined {
    this.#header.writeBigUInt64LE(BigInt(CONTROL), MSGHDR.controllen)
    this.#header.writeInt32LE(0, MSGHDR.flags)
    let length: number
    try {
      const definition = 'long recvmsg(int, void *, int)'
      length = this.#libc.checked('recvmsg', undefined, definition, this.fd, this.#header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
    } catch (error) {
      if (error instanceof SystemError && error.code === 'EAGAIN') return undefined
      throw error
    }
    const flags = this.#header.readInt32LE(MSGHDR.flags)
    const control = this.#control.subarray(0, Number(this.#header.readBigUInt64LE(MSGHDR.controllen)))
    return {
      payload: Buffer.from(this.#payload.subarray(0, length)),
      ...readControl(control),
      truncated: (flags & MSG_TRUNC) !== 0,
      controlTruncated: (flags & MSG_CTRUNC) !== 0,
    }
  }
}

/**
 * Sends one datagram to a unix socket; a leading `@` names an abstract one. The receiver gets copies of `descriptors` (unix(7),
 * SCM_RIGHTS). It never waits: where the receiver's queue is full it throws EAGAIN. Throws SystemError (ENOENT, ECONNREFUSED).
 */
export function sendDatagram(libc: Libc, path: string, payload: Buffer, descriptors: readonly number[] = []): void {
  const fd = openSocket(libc)
  try {
    const address = unixAddress(path)
    if (descriptors.length === 0) {
      const definition = 'long sendto(int, void *, ulong, int, void *, uint)'
      libc.checked('sendto', path, definition, fd, payload, payload.length, MSG_DONTWAIT, address, address.length)
      return
    }
    sendMessage(libc, { fd, path, address }, payload, descriptors)
  } finally {
    closeSync(fd)
  }
}

/** Sends one message on one end of a pair (socketpair(2)), as {@link sendDatagram} does. Throws SystemError (EPIPE). */
export function sendToPeer(libc: Libc, fd: number, payload: Buffer, descriptors: readonly number[]): void {
  sendMessage(libc, { fd }, payload, descriptors)
}

/** The socket that sends, and where to; `path` is for the error. */
interface Sending {
  readonly fd: number
  readonly path?: string
  readonly address?: Buffer
}

function sendMessage(libc: Libc, { fd, path, address }: Sending, payload: Buffer, descriptors: readonly number[]): void {
  const vector = vectorOf(libc, payload)
  const control = writeControl(descriptors)
  const header = headerOf(libc, vector, control)
  if (address !== undefined) {
    header.writeBigUInt64LE(libc.addressOf(address), MSGHDR.name)
    header.writeUInt32LE(address.length, MSGHDR.namelen)
  }
  const parts = [address, payload, vector, control]
  libc.checked('sendmsg', path, 'long sendmsg(int, void *, int)', fd, header, MSG_DONTWAIT | MSG_NOSIGNAL)
  // The header holds their addresses as numbers, which keep nothing alive.
  parts.length = 0
}

function openSocket(libc: Libc): number {
  return libc.checked('socket', undefined, 'int socket(int, int, int)', AF_UNIX, SOCK_DGRAM_CLOEXEC, 0)
}

/** struct iovec of one buffer. */
function vectorOf(libc: Libc, buffer: Buffer): Buffer {
  const vector = Buffer.alloc(16)
  vector.writeBigUInt64LE(libc.addressOf(buffer), 0)
  vector.writeBigUInt64LE(BigInt(buffer.length), 8)
  return vector
}

/** struct msghdr with one struct iovec and the control messages, or room for them. */
function headerOf(libc: Libc, vector: Buffer, control: Buffer): Buffer {
  const header = Buffer.alloc(MSGHDR.size)
  header.writeBigUInt64LE(libc.addressOf(vector), MSGHDR.iov)
  header.writeBigUInt64LE(1n, MSGHDR.iovlen)
  header.writeBigUInt64LE(libc.addressOf(control), MSGHDR.control)
  header.writeBigUInt64LE(BigInt(control.length), MSGHDR.controllen)
  return header
}

/** One SCM_RIGHTS control message: a struct cmsghdr and the descriptors, aligned to 8 bytes. */
function writeControl(descriptors: readonly number[]): Buffer {
  const length = CMSGHDR + 4 * descriptors.length
  const control = Buffer.alloc((length + 7) & ~7)
  control.writeBigUInt64LE(BigInt(length), 0)
  control.writeInt32LE(SOL_SOCKET, 8)
  control.writeInt32LE(SCM_RIGHTS, 12)
  descriptors.forEach((fd, index) => control.writeInt32LE(fd, CMSGHDR + 4 * index))
  return control
}

/** The control messages that recvmsg(2) left: each a struct cmsghdr (length, level, type) and its data, aligned to 8 bytes. */
function readControl(control: Buffer): Pick<Datagram, 'descriptors' | 'sender'> {
  const descriptors: number[] = []
  let sender: Datagram['sender']
  for (let at = 0; at + CMSGHDR <= control.length;) {
    const length = Number(control.readBigUInt64LE(at))
    if (length < CMSGHDR) break
    const end = Math.min(at + length, control.length)
    const type = control.readInt32LE(at + 8) === SOL_SOCKET ? control.readInt32LE(at + 12) : 0
    if (type === SCM_RIGHTS) {
      for (let fd = at + CMSGHDR; fd + 4 <= end; fd += 4) descriptors.push(control.readInt32LE(fd))
    } else if (type === SCM_CREDENTIALS && end - at >= CMSGHDR + 12) {
      sender = { pid: control.readInt32LE(at + CMSGHDR), uid: control.readUInt32LE(at + CMSGHDR + 4) }
    }
    at += (length + 7) & ~7
  }
  return { descriptors, sender }
}
