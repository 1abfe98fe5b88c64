import { constants } from 'node:os'
import { SystemError } from '../errors.ts'
import type { AddonLoader } from './addons.ts'

/** mount(2) flags, include/uapi/linux/mount.h. */
export const MS = { RDONLY: 1, NOSUID: 2, NODEV: 4, NOEXEC: 8, REMOUNT: 32, BIND: 4096 } as const

/** umount2(2) flags, include/uapi/linux/fs.h. */
export const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8

/** send(2). */
export const MSG_DONTWAIT = 0x40

const AT_FDCWD = -100
const PR_SET_PDEATHSIG = 1
const AF_UNIX = 1
const EFD_CLOEXEC = 0o2000000
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000

type Callable = ((...args: unknown[]) => number | bigint) & {
  async: (...args: [...unknown[], (error: Error | null, result: number) => void]) => void
}

interface Koffi {
  load(path: string): { func(definition: string): Callable }
  errno(): number
}

/** The system calls that Node lacks, by way of glibc. All but `pollAsync` block the calling thread. */
export class Libc {
  readonly #koffi: Koffi
  readonly #functions = new Map<string, Callable>()
  readonly #library: { func(definition: string): Callable }

  constructor(addons: AddonLoader) {
    // koffi's JavaScript takes 12 ms to load and adds only deprecated names; its addon takes 2.
    this.#koffi = addons.load('koffi.node') as Koffi
    this.#library = this.#koffi.load('libc.so.6')
  }

  /** mount(2). Throws SystemError. */
  mount(source: string, target: string, type: string | null, flags: number, data: string | null): void {
    this.#checked('mount', target, 'int mount(str, str, str, ulong, str)', source, target, type, flags, data)
  }

  /** umount2(2), never following a symbolic link. Throws SystemError (EINVAL: not a mount point, EBUSY). */
  umount(target: string, flags = 0): void {
    this.#checked('umount', target, 'int umount2(str, int)', target, flags | UMOUNT_NOFOLLOW)
  }

  /** statx(2) into `buffer`, a struct statx of 256 bytes. Throws SystemError. */
  statx(path: string, flags: number, mask: number, buffer: Buffer): void {
    this.#checked('statx', path, 'int statx(int, str, int, uint, void *)', AT_FDCWD, path, flags, mask, buffer)
  }

  /** syscall(2) with a request, a buffer and its size, as statmount(2) has them. Throws SystemError. */
  bufferCall(number: number, name: string, request: Buffer, buffer: Buffer): number {
    const definition = 'long syscall(long, void *, void *, ulong, ulong)'
    return this.#checked(name, undefined, definition, number, request, buffer, buffer.length, 0)
  }

  /** prctl(PR_SET_PDEATHSIG): the kernel sends `signal` to this process when the thread that spawned it ends. */
  setParentDeathSignal(signal: NodeJS.Signals): void {
    const number = constants.signals[signal]
    this.#checked('prctl', undefined, 'int prctl(int, ulong, ulong, ulong, ulong)', PR_SET_PDEATHSIG, number, 0, 0, 0)
  }

  /**
   * Sends one datagram to a unix socket; a leading `@` names an abstract one. Throws SystemError (ENOENT, ECONNREFUSED). Where the
   * receiver's queue is full it waits for room, with `MSG_DONTWAIT` among the flags it throws EAGAIN.
   */
  sendToUnix(path: string, payload: Buffer, flags = 0): void {
    const fd = this.#checked('socket', undefined, 'int socket(int, int, int)', AF_UNIX, SOCK_DGRAM_CLOEXEC, 0)
    try {
      const address = unixAddress(path)
      const definition = 'long sendto(int, void *, ulong, int, void *, uint)'
      this.#checked('sendto', path, definition, fd, payload, payload.length, flags, address, address.length)
    } finally {
      this.#call('int close(int)', fd)
    }
  }

  /** eventfd(2), closed on exec. A write of eight bytes that hold 1 wakes whoever polls it. */
  eventfd(): number {
    return this.#checked('eventfd', undefined, 'int eventfd(uint, int)', 0, EFD_CLOEXEC)
  }

  /**
   * poll(2) in a thread of libuv's pool, for `events` (0: errors and hang-up alone) on each descriptor, without a time limit.
   * Resolves to the `revents` of each.
   */
  async pollAsync(watches: readonly { fd: number; events: number }[]): Promise<readonly number[]> {
    const buffer = Buffer.alloc(8 * watches.length)
    watches.forEach(({ fd, events }, index) => {
      buffer.writeInt32LE(fd, 8 * index)
      buffer.writeInt16LE(events, 8 * index + 4)
    })
    const poll = this.#function('int poll(void *, ulong, int)')
    await new Promise<void>((resolve, reject) => {
      poll.async(buffer, watches.length, -1, (error) => {
        if (error === null) resolve()
        else reject(error)
      })
    })
    return watches.map((_, index) => buffer.readInt16LE(8 * index + 6))
  }

  #function(definition: string): Callable {
    const known = this.#functions.get(definition)
    if (known !== undefined) return known
    const made = this.#library.func(definition)
    this.#functions.set(definition, made)
    return made
  }

  #call(definition: string, ...args: unknown[]): number {
    return Number(this.#function(definition)(...args))
  }

  #checked(name: string, path: string | undefined, definition: string, ...args: unknown[]): number {
    const result = this.#call(definition, ...args)
    if (result >= 0) return result
    const errno = this.#koffi.errno()
    throw new SystemError(name, errnoName(errno), errno, path)
  }
}

function errnoName(errno: number): string {
  const found = Object.entries(constants.errno).find(([, number]) => number === errno)
  return found?.[0] ?? `errno ${errno}`
}

/** struct sockaddr_un: a 16-bit family and the path, which a NUL begins when it is abstract and ends otherwise. */
function unixAddress(path: string): Buffer {
  const name = path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`
  const bytes = Buffer.from(name)
  if (bytes.length > 108) throw new SystemError('connect', 'ENAMETOOLONG', constants.errno.ENAMETOOLONG, path)
  const family = Buffer.alloc(2)
  family.writeUInt16LE(AF_UNIX)
  return Buffer.concat([family, bytes])
}
