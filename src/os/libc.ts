import { constants } from 'node:os'
import { SystemError } from '../errors.ts'
import type { AddonLoader } from './addons.ts'

/** mount(2) flags, include/uapi/linux/mount.h. */
export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  SYNCHRONOUS: 16,
  REMOUNT: 32,
  DIRSYNC: 128,
  NOSYMFOLLOW: 256,
  NOATIME: 1024,
  NODIRATIME: 2048,
  BIND: 4096,
  REC: 16384,
  PRIVATE: 1 << 18,
  RELATIME: 1 << 21,
  STRICTATIME: 1 << 24,
  LAZYTIME: 1 << 25,
} as const

/** umount2(2) flags, include/uapi/linux/fs.h. */
export const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8

/** include/uapi/asm-generic/resource.h */
const RLIMIT_NOFILE = 7

const PR_SET_PDEATHSIG = 1
const PR_SET_DUMPABLE = 4
const EFD_CLOEXEC = 0o2000000
const O_CLOEXEC = 0o2000000
const F_SETFD = 2
const AF_UNIX = 1
const SOCK_SEQPACKET = 5
const FD_CLOEXEC = 1

const POLL = 'int poll(void *, ulong, int)'

/** What may be done with mapped memory (mmap(2)). */
export const PROT = { READ: 1, WRITE: 2 } as const
const MAP_SHARED = 1
const MAP_FAILED = 2n ** 64n - 1n

interface PollWatch {
  readonly fd: number
  readonly events: number
}

/** A C function: its arguments and result as its definition says, 64-bit numbers as bigint where they do not fit a double. */
export type Callable = ((...args: unknown[]) => number | bigint) & {
  async: (...args: [...unknown[], (error: Error | null, result: number) => void]) => void
}

interface Koffi {
  /** `null`: the executable itself. */
  load(path: string | null): { func(definition: string): Callable }
  errno(): number
  /** The address of a buffer's bytes. */
  address(buffer: Buffer): bigint
  view(address: bigint, length: number): ArrayBuffer
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
    this.checked('mount', target, 'int mount(str, str, str, ulong, str)', source, target, type, flags, data)
  }

  /** fcntl(2) F_SETFD: marks a descriptor that came through exec as closed at the next one. Throws SystemError. */
  closeOnExec(fd: number): void {
    this.checked('fcntl', undefined, 'int fcntl(int, int, ulong)', fd, F_SETFD, FD_CLOEXEC)
  }

  /** dup2(2): `to` becomes another name of `from`, in one step. Throws SystemError. */
  duplicate(from: number, to: number): void {
    this.checked('dup2', undefined, 'int dup2(int, int)', from, to)
  }

  /** umount2(2), never following a symbolic link. Throws SystemError (EINVAL: not a mount point, EBUSY). */
  umount(target: string, flags = 0): void {
    this.checked('umount', target, 'int umount2(str, int)', target, flags | UMOUNT_NOFOLLOW)
  }

  /**
   * {@link umount} in a thread of libuv's pool: the last one of a FUSE file system waits for milliseconds in the kernel. Rejects with
   * SystemError.
   */
  async umountAsync(target: string, flags = 0): Promise<void> {
    const umount2 = this.foreign('int umount2(str, int)')
    const result = await new Promise<unknown>((resolve, reject) => {
      umount2.async(target, flags | UMOUNT_NOFOLLOW, (error, value) => {
        if (error === null) resolve(value)
        else reject(error)
      })
    })
    // The errno of another thread is lost: here the call fails again, or succeeds.
    if (Number(result) < 0) this.umount(target, flags)
  }

  /** Unmounts the mount whose root a descriptor shows, at any path and also while it is in use (umount2(2), MNT_DETACH). Throws SystemError. */
  umountDescriptor(fd: number): void {
    this.checked('umount', undefined, 'int umount2(str, int)', `/proc/self/fd/${fd}`, MNT_DETACH)
  }

  /**
   * prlimit(2): the soft limit of the number of descriptors of a process; undefined raises it to the hard limit, which stays. Throws SystemError (ESRCH:
   * there is no such process).
   */
  limitDescriptors(pid: number, soft: number | undefined): void {
    const limit = Buffer.alloc(16)
    const prlimit = 'int prlimit(int, int, void *, void *)'
    this.checked('prlimit', undefined, prlimit, pid, RLIMIT_NOFILE, null, limit)
    limit.writeBigUInt64LE(soft === undefined ? limit.readBigUInt64LE(8) : BigInt(soft), 0)
    this.checked('prlimit', undefined, prlimit, pid, RLIMIT_NOFILE, limit, null)
  }

  /** prctl(PR_SET_PDEATHSIG): the kernel sends `signal` to this process when the thread that spawned it ends; undefined: none. */
  setParentDeathSignal(signal: NodeJS.Signals | undefined): void {
    const number = signal === undefined ? 0 : constants.signals[signal]
    this.checked('prctl', undefined, 'int prctl(int, ulong, ulong, ulong, ulong)', PR_SET_PDEATHSIG, number, 0, 0, 0)
  }

  /**
   * prctl(PR_SET_DUMPABLE, 0): this process leaves no core file, whatever its limit and the machine's core_pattern say, and only root may look into its
   * memory. A process that it starts is dumpable again (proc_pid(5), execve(2)). Throws SystemError.
   */
  forbidCoreDumps(): void {
    this.checked('prctl', undefined, 'int prctl(int, ulong, ulong, ulong, ulong)', PR_SET_DUMPABLE, 0, 0, 0, 0)
  }

  /** pipe2(2), both ends closed on exec: `[read, write]`. Throws SystemError. */
  pipe(): readonly [number, number] {
    const ends = Buffer.alloc(8)
    this.checked('pipe2', undefined, 'int pipe2(void *, int)', ends, O_CLOEXEC)
    return [ends.readInt32LE(0), ends.readInt32LE(4)]
  }

  /** socketpair(2): two connected unix sockets that keep the bounds of messages (SOCK_SEQPACKET), both closed on exec. Throws SystemError. */
  socketPair(): readonly [number, number] {
    const ends = Buffer.alloc(8)
    this.checked('socketpair', undefined, 'int socketpair(int, int, int, void *)', AF_UNIX, SOCK_SEQPACKET | O_CLOEXEC, 0, ends)
    return [ends.readInt32LE(0), ends.readInt32LE(4)]
  }

  /** eventfd(2), closed on exec: see eventfd.ts. */
  eventfd(): number {
    return this.checked('eventfd', undefined, 'int eventfd(uint, int)', 0, EFD_CLOEXEC)
  }

  /** _exit(2): ends the process with all of its threads at once. Nothing is flushed. */
  exit(status: number): void {
    this.foreign('void _exit(int)')(status)
  }

  /** sched_yield(2), bound: another process that is ready to run on this processor has its turn first. */
  yielder(): () => void {
    const call = this.foreign('int sched_yield()')
    return () => {
      call()
    }
  }

  /** The errno of the call before, as an error that names it. */
  lastError(name: string, path?: string): SystemError {
    const errno = this.errno()
    return new SystemError(name, errnoName(errno), errno, path)
  }

  /** The errno that the last call left in this thread. */
  errno(): number {
    return this.#koffi.errno()
  }

  /** poll(2) without waiting, for errors and hang-up alone: the `revents` of each descriptor. Throws SystemError. */
  pollErrors(descriptors: readonly number[]): readonly number[] {
    return this.pollNow(descriptors.map((fd) => ({ fd, events: 0 })))
  }

  /** poll(2) without waiting, for `events` on each descriptor: the `revents` of each. Throws SystemError. */
  pollNow(watches: readonly PollWatch[]): readonly number[] {
    const polled = pollfds(watches)
    const found = Number(this.foreign(POLL)(polled, watches.length, 0))
    // A signal interrupts it only if no descriptor is ready (fs/select.c, do_poll).
    if (found < 0 && this.errno() !== constants.errno.EINTR) throw this.lastError('poll')
    return reventsOf(polled)
  }

  /**
   * poll(2) in a thread of libuv's pool, for `events` (0: errors and hang-up alone) on each descriptor, without a time limit.
   * Resolves to the `revents` of each.
   */
  async pollAsync(watches: readonly PollWatch[]): Promise<readonly number[]> {
    const polled = pollfds(watches)
    const poll = this.foreign(POLL)
    await new Promise<void>((resolve, reject) => {
      poll.async(polled, watches.length, -1, (error) => {
        if (error === null) resolve()
        else reject(error)
      })
    })
    return reventsOf(polled)
  }

  /** A glibc function by its C declaration. A caller that needs it often keeps the result. */
  foreign(definition: string): Callable {
    const known = this.#functions.get(definition)
    if (known !== undefined) return known
    const made = this.#library.func(definition)
    this.#functions.set(definition, made)
    return made
  }

  /** A function that the executable exports to its addons, as libuv's are, by its C declaration. */
  exported(definition: string): Callable {
    return this.#koffi.load(null).func(definition)
  }

  /** A call of {@link foreign} whose negative result is an error. Throws SystemError, which names `name` and `path`. */
  checked(name: string, path: string | undefined, definition: string, ...args: unknown[]): number {
    const result = Number(this.foreign(definition)(...args))
    if (result >= 0) return result
    throw this.lastError(name, path)
  }

  /**
   * mmap(2): maps a part of a file, shared with all others that map it. It begins at `place`, a multiple of a page. `protection`: as in {@link PROT}.
   * Returns where it lies. Throws SystemError (ENODEV: a file that cannot be mapped).
   */
  map(fd: number, place: number, length: number, protection: number): bigint {
    const mmap = this.foreign('ulong mmap(ulong, ulong, int, int, int, long)')
    const address = BigInt(mmap(0, length, protection, MAP_SHARED, fd, place))
    if (address === MAP_FAILED) throw this.lastError('mmap')
    return address
  }

  /** Where a buffer's bytes lie, for structs that hold pointers. The number keeps nothing alive. */
  addressOf(buffer: Buffer): bigint {
    return this.#koffi.address(buffer)
  }

  /** Memory of this process that is no buffer's. It must stay mapped for as long as the result is used. */
  memoryAt(address: bigint, length: number): ArrayBuffer {
    return this.#koffi.view(address, length)
  }
}

/** An array of struct pollfd: a descriptor of 32 bits, `events` and `revents` of 16 bits each. */
function pollfds(watches: readonly PollWatch[]): Buffer {
  const polled = Buffer.alloc(8 * watches.length)
  watches.forEach(({ fd, events }, index) => {
    polled.writeInt32LE(fd, 8 * index)
    polled.writeInt16LE(events, 8 * index + 4)
  })
  return polled
}

function reventsOf(polled: Buffer): readonly number[] {
  return Array.from({ length: polled.length / 8 }, (_, index) => polled.readInt16LE(8 * index + 6))
}

export function errnoName(errno: number): string {
  const found = Object.entries(constants.errno).find(([, number]) => number === errno)
  return found?.[0] ?? `errno ${errno}`
}
