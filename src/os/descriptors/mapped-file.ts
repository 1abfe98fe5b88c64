import { readSync } from 'node:fs'
import { constants } from 'node:os'
import { SystemError } from '../../errors.ts'
import { errnoName, type Libc, PROT } from '../libc.ts'
import { MemoryFile } from './memory-file.ts'

const MADV_DONTNEED = 4
const POSIX_FADV_DONTNEED = 4

/** The system calls by which a reader gets past the page cache. All of them block the calling thread. */
export class PageCalls {
  readonly #libc: Libc

  constructor(libc: Libc) {
    this.#libc = libc
  }

  /** posix_fadvise(POSIX_FADV_DONTNEED) on a whole file: its clean, unmapped pages leave the page cache. Throws SystemError. */
  dropPages(fd: number): void {
    // Returns the errno instead of setting it.
    const errno = Number(this.#libc.foreign('int posix_fadvise(int, long, long, int)')(fd, 0, 0, POSIX_FADV_DONTNEED))
    if (errno !== 0) throw systemError('posix_fadvise', errno)
  }

  /** Maps the first `length` bytes of a file, shared and to be read. Throws SystemError (ENODEV: a file that cannot be mapped). */
  map(fd: number, length: number): MappedPages {
    const libc = this.#libc
    const address = libc.map(fd, 0, length, PROT.READ)
    return {
      dropFromTable: () => {
        libc.checked('madvise', undefined, 'int madvise(ulong, ulong, int)', address, length, MADV_DONTNEED)
      },
      read: (into, memory) => {
        // write(2) takes the page fault in the kernel, where a failed fault is EFAULT instead of SIGBUS.
        const count = libc.checked('write', undefined, 'long pwrite(int, ulong, ulong, long)', memory, address, length, 0)
        // A fault after the first page ends it early, without an error.
        if (count < length) throw systemError('write', constants.errno.EFAULT)
        return readSync(memory, into, 0, length, 0)
      },
    }
  }

  /** A file in memory of `length` bytes. Throws SystemError. */
  memory(length: number): number {
    return MemoryFile.create(this.#libc, 'lab-consumer', length).fd
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
  return new SystemError(name, errnoName(errno), errno)
}
