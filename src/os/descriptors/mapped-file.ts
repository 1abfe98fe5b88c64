import { ftruncateSync, readSync } from 'node:fs'
import { constants } from 'node:os'
import { SystemError } from '../../errors.ts'
import type { AddonLoader } from '../addons.ts'

const PROT_READ = 1
const MAP_SHARED = 1
const MADV_DONTNEED = 4
const POSIX_FADV_DONTNEED = 4
const MFD_CLOEXEC = 1

interface Koffi {
  load(path: string): { func(definition: string): (...args: unknown[]) => number | bigint }
  errno(): number
}

/** The system calls by which a reader gets past the page cache: Node has none of them. All of them block the calling thread. */
export class PageCalls {
  readonly #koffi: Koffi
  readonly #function: (definition: string) => (...args: unknown[]) => number | bigint

  constructor(addons: AddonLoader) {
    this.#koffi = addons.load('koffi.node') as Koffi
    const library = this.#koffi.load('libc.so.6')
    const known = new Map<string, (...args: unknown[]) => number | bigint>()
    this.#function = (definition) => {
      const made = known.get(definition) ?? library.func(definition)
      known.set(definition, made)
      return made
    }
  }

  /** posix_fadvise(POSIX_FADV_DONTNEED) on a whole file: its clean, unmapped pages leave the page cache. Throws SystemError. */
  dropPages(fd: number): void {
    // Returns the errno instead of setting it.
    const errno = Number(this.#function('int posix_fadvise(int, long, long, int)')(fd, 0, 0, POSIX_FADV_DONTNEED))
    if (errno !== 0) throw systemError('posix_fadvise', errno)
  }

  /** Maps the first `length` bytes of a file, shared and to be read. Throws SystemError (ENODEV: a file that cannot be mapped). */
  map(fd: number, length: number): MappedPages {
    const address = this.#function('ulong mmap(ulong, ulong, int, int, int, long)')(0, length, PROT_READ, MAP_SHARED, fd, 0)
    if (BigInt(address) === 0xffffffffffffffffn) throw systemError('mmap', this.#koffi.errno())
    return {
      dropFromTable: () => {
        this.#checked('madvise', 'int madvise(ulong, ulong, int)', address, length, MADV_DONTNEED)
      },
      read: (into, memory) => {
        // write(2) takes the page fault in the kernel, where a failed fault is EFAULT instead of SIGBUS.
        const count = this.#checked('write', 'long pwrite(int, ulong, ulong, long)', memory, address, length, 0)
        // A fault after the first page ends it early, without an error.
        if (count < length) throw systemError('write', constants.errno.EFAULT)
        return readSync(memory, into, 0, length, 0)
      },
    }
  }

  /** memfd_create(2) of `length` bytes: a file in memory. Throws SystemError. */
  memory(length: number): number {
    const fd = this.#checked('memfd_create', 'int memfd_create(str, uint)', 'lab-consumer', MFD_CLOEXEC)
    ftruncateSync(fd, length)
    return fd
  }

  #checked(name: string, definition: string, ...args: unknown[]): number {
    const result = Number(this.#function(definition)(...args))
    if (result < 0) throw systemError(name, this.#koffi.errno())
    return result
  }
}

/** Pages of a file in this process's memory. */
export interface MappedPages {
  /** madvise(MADV_DONTNEED): the next look at them is a page fault. */
  dropFromTable(): void
  /** Reads the pages by way of `memory` (see PageCalls.memory). Throws SystemError EFAULT where a load would raise SIGBUS. */
  read(into: Buffer, memory: number): number
}

function systemError(name: string, errno: number): SystemError {
  const found = Object.entries(constants.errno).find(([, number]) => number === errno)
  return new SystemError(name, found?.[0] ?? `errno ${errno}`, errno)
}
