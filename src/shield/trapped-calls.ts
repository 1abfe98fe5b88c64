import { closeSync, openSync, readlinkSync, readSync } from 'node:fs'
import { constants } from 'node:os'
import { isAbsolute, resolve } from 'node:path'
import { codeOf } from '../errors.ts'
import type { SessionDescriptor } from '../fuse/session/loop.ts'
import { openFlags } from '../os/descriptors/fdinfo.ts'
import type { Libc } from '../os/libc.ts'
import { pidfdGet, pidfdOpen } from '../os/processes/child-processes.ts'
import { processOfThread } from '../os/processes/processes.ts'

/** The calls that the launcher's filter reports, by their numbers on x86-64 (launcher.s). */
const CALL = { ioctl: 16, mount: 165, umount2: 166 } as const

/** ioctl(2) of the listener, include/uapi/linux/seccomp.h. */
const NOTIF_RECV = 0xc0502100
const NOTIF_SEND = 0xc0182101
const NOTIF_ADDFD = 0x40182103

/** poll(2) */
const POLLIN = 1

/** The flags of an answer and of a descriptor that is added. */
const CONTINUE = 1
const SETFD = 1
const O_CLOEXEC = 0o2000000

/** fcntl(2) */
const F_SETFL = 4
const O_NONBLOCK = 0o4000

/** struct seccomp_notif: 64 bits of id, 32 of pid, 32 of flags, struct seccomp_data. */
const NOTIF = { size: 80, id: 0, pid: 8, number: 16, arguments: 32 } as const

/** Bytes of the longest text that mount(2) takes, the data's page. */
const LONGEST = 4096

/** What a daemon has mount(2) do. */
export interface MountCall {
  readonly source: string
  /** The path that is mounted at, as {@link TrapHandler.target} has it. */
  readonly target: string
  /** With its subtype: `fuse.sshfs`. */
  readonly type: string
  /** MS_* */
  readonly flags: number
  /** Without the option `fd`. */
  readonly data: string
}

/** What is done about the calls of one daemon. */
export interface TrapHandler {
  /** The absolute path, in its shortest form, whose unmounts succeed without being made. */
  readonly target: string
  /**
   * The daemon mounts a FUSE file system. Returns the socket that takes the place of its /dev/fuse, which the caller closes afterwards, or the errno's name that
   * the daemon gets.
   */
  mount(call: MountCall): number | 'EBUSY' | 'EPERM'
  /** The daemon and all that it has started have ended: there are no more calls. */
  ended(): void
}

interface Call {
  readonly id: bigint
  /** The thread that calls. */
  readonly pid: number
  readonly number: number
  readonly args: readonly bigint[]
}

/** Either the call's result, or an errno's name, or that the kernel goes on with the call. */
type Answer = { readonly value: number } | { readonly errno: keyof typeof constants.errno } | 'continue'

/**
 * Answers the calls of a daemon, and of all that it starts, that the launcher's filter reports (seccomp_unotify(2)). A FUSE file system is never mounted: the
 * descriptor of /dev/fuse that the call names becomes our socket, under the same number, and the call succeeds. Any other call goes on in the kernel. The
 * filter is no barrier against a daemon that means harm.
 */
export class TrappedCalls implements SessionDescriptor {
  readonly fd: number
  readonly #libc: Libc
  readonly #handler: TrapHandler
  readonly #notification = Buffer.alloc(NOTIF.size)

  /** `fd`: the listener, which the caller closes. */
  constructor(libc: Libc, fd: number, handler: TrapHandler) {
    this.#libc = libc
    this.fd = fd
    this.#handler = handler
  }

  /** Answers the next call, if there is one. */
  serve(): number {
    const [events = 0] = this.#libc.pollNow([{ fd: this.fd, events: POLLIN }])
    // Without a call the kernel would have us wait for one.
    if ((events & POLLIN) === 0) {
      if (events !== 0) this.#handler.ended()
      return 0
    }
    const call = this.#next()
    if (call !== undefined) this.#send(call.id, this.#answer(call))
    return call === undefined ? 0 : 1
  }

  #next(): Call | undefined {
    // The kernel wants zeros.
    const bytes = this.#notification.fill(0)
    // ENOENT: the caller was killed in between.
    if (!this.#control(NOTIF_RECV, bytes)) return undefined
    return {
      id: bytes.readBigUInt64LE(NOTIF.id),
      pid: bytes.readUInt32LE(NOTIF.pid),
      number: bytes.readInt32LE(NOTIF.number),
      args: Array.from({ length: 6 }, (_, index) => bytes.readBigUInt64LE(NOTIF.arguments + 8 * index)),
    }
  }

  #answer(call: Call): Answer {
    try {
      switch (call.number) {
        case CALL.mount:
          return this.#mount(call)
        case CALL.umount2:
          return this.#path(call, 0) === this.#handler.target ? { value: 0 } : 'continue'
        case CALL.ioctl:
          return this.#clone(call)
        default:
          return 'continue'
      }
    } catch (error) {
      return { errno: (codeOf(error) ?? 'EIO') as keyof typeof constants.errno }
    }
  }

  #mount(call: Call): Answer {
    const type = this.#text(call, 2)
    if (!/^fuse(blk)?(\.|$)/.test(type)) return 'continue'
    const options = this.#text(call, 4).split(',')
    const own = options.find((option) => option.startsWith('fd='))
    if (own === undefined) return { errno: 'EINVAL' }
    const data = options.filter((option) => option !== own && option !== '').join(',')
    const flags = Number(BigInt.asUintN(32, call.args[3] ?? 0n))
    const channel = this.#handler.mount({ source: this.#text(call, 0), target: this.#path(call, 1), type, flags, data })
    if (typeof channel === 'string') return { errno: channel }
    return this.#replace(call, Number(own.slice('fd='.length)), channel)
  }

  /** FUSE_DEV_IOC_CLONE: what was opened for the clone becomes another name of the socket. */
  #clone(call: Call): Answer {
    const source = this.#memory(call, 2, 4).readUInt32LE()
    const process = pidfdOpen(this.#libc, processOfThread(call.pid) ?? call.pid)
    try {
      const channel = pidfdGet(this.#libc, process, source)
      try {
        return this.#replace(call, Number(BigInt.asIntN(32, call.args[0] ?? 0n)), channel)
      } finally {
        closeSync(channel)
      }
    } finally {
      closeSync(process)
    }
  }

  /** Puts a copy of our descriptor in the place of the caller's. */
  #replace({ id, pid }: Call, theirs: number, ours: number): Answer {
    // A daemon that waits for requests by itself has opened its device with it.
    const waits = (openFlags(theirs, pid) & O_NONBLOCK) === 0
    if (!waits) this.#libc.checked('fcntl', undefined, 'int fcntl(int, int, ulong)', ours, F_SETFL, O_NONBLOCK)
    const added = Buffer.alloc(24)
    added.writeBigUInt64LE(id, 0)
    added.writeUInt32LE(SETFD, 8)
    added.writeUInt32LE(ours, 12)
    added.writeUInt32LE(theirs, 16)
    // What the daemon starts is not to hold it.
    added.writeUInt32LE(O_CLOEXEC, 20)
    if (!this.#control(NOTIF_ADDFD, added)) throw this.#libc.lastError('seccomp')
    return { value: 0 }
  }

  #send(id: bigint, answer: Answer): void {
    const response = Buffer.alloc(24)
    response.writeBigUInt64LE(id, 0)
    if (answer === 'continue') response.writeUInt32LE(CONTINUE, 20)
    else if ('value' in answer) response.writeBigInt64LE(BigInt(answer.value), 8)
    else response.writeInt32LE(-constants.errno[answer.errno], 16)
    // ENOENT: the caller was killed in between.
    this.#control(NOTIF_SEND, response)
  }

  #control(request: number, argument: Buffer): boolean {
    return Number(this.#libc.foreign('int ioctl(int, ulong, void *)')(this.fd, request, argument)) >= 0
  }

  /** A path as the caller means it, in its shortest form. fusermount(1) names its target from the directory above. Throws Node's error. */
  #path(call: Call, argument: number): string {
    const path = this.#text(call, argument)
    return isAbsolute(path) ? resolve(path) : resolve(readlinkSync(`/proc/${call.pid}/cwd`), path)
  }

  /** A text of the caller's memory, by the number of the argument that points to it; empty for NULL. Throws Node's error. */
  #text(call: Call, argument: number): string {
    if (call.args[argument] === 0n) return ''
    const bytes = this.#memory(call, argument, LONGEST)
    const end = bytes.indexOf(0)
    return bytes.toString('utf8', 0, end < 0 ? undefined : end)
  }

  /** Up to so many bytes of the caller's memory: what is behind them may not be mapped. Throws Node's error. */
  #memory({ pid, args }: Call, argument: number, length: number): Buffer {
    const memory = openSync(`/proc/${pid}/mem`, 'r')
    try {
      const bytes = Buffer.alloc(length)
      return bytes.subarray(0, readSync(memory, bytes, 0, length, args[argument] ?? 0n))
    } finally {
      closeSync(memory)
    }
  }
}
