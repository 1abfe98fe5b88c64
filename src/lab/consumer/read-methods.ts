import { openSync, readSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { MappedPages, PageCalls } from '../../os/descriptors/mapped-file.ts'
import { close } from './close.ts'

/** One way of reading a file again and again. Each read asks the file system; none is answered out of the page cache. */
export interface ReadMethod {
  /**
   * Reads the file from its beginning into the buffer, and returns how many bytes there were. The buffer has room for the whole pages of a memory map, and for a
   * byte more than is expected. Throws errors that carry an errno's name.
   */
  read(into: Buffer): number
}

/** By the way of reading, makes one for a file that must hold `expected`. */
type ReadMethods = Readonly<
  Record<string, (file: string, calls: Pick<PageCalls, 'dropPages' | 'map' | 'memory'>, expected: Buffer) => ReadMethod>
>

/** Bytes of a page of a memory map; larger pages are multiples of it. */
const PAGE = 4096

/** Bytes that a memory map of a file takes which holds so many, up to the end of its last page. */
export function mapLength(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE
}

/** By name: what the process holds between two reads. */
export const READ_METHODS: ReadMethods = {
  /** One descriptor, opened at the first read that can. */
  'keeps-open': (file, calls) => {
    let fd: number | undefined
    return {
      read: (into) => {
        fd ??= openSync(file, 'r')
        return readFresh(fd, into, calls)
      },
    }
  },
  /** Nothing: opens the file by its path for each read. */
  'opens-anew': (file, calls) => ({ read: (into) => readOnce(file, into, calls) }),
  /** A memory map of all that the file must hold, which is not empty. */
  mapped: (file, calls, expected) => {
    let fd: number | undefined
    let pages: MappedPages | undefined
    const length = mapLength(expected.length)
    const memory = calls.memory(length)
    const own = withoutZeros(expected)
    return {
      read: (into) => {
        fd ??= openSync(file, 'r')
        pages ??= calls.map(fd, length)
        pages.dropFromTable()
        calls.dropPages(fd)
        // What lies past the file's end in its last page is zero, and may be the end of what the file must hold too.
        const end = withoutZeros(into.subarray(0, pages.read(into, memory)))
        return end === own ? expected.length : end
      },
    }
  },
  /** The working directory, in which the volume is; opens the file by its name for each read. */
  cwd: (file, calls) => {
    let inside = false
    return {
      read: (into) => {
        if (!inside) process.chdir(dirname(file))
        inside = true
        return readOnce(basename(file), into, calls)
      },
    }
  },
}

/** How many bytes there are up to the last that is not zero. */
function withoutZeros(bytes: Buffer): number {
  return bytes.findLastIndex((byte) => byte !== 0) + 1
}

function readOnce(file: string, into: Buffer, calls: Pick<PageCalls, 'dropPages'>): number {
  const fd = openSync(file, 'r')
  try {
    return readFresh(fd, into, calls)
  } finally {
    close(fd)
  }
}

function readFresh(fd: number, into: Buffer, calls: Pick<PageCalls, 'dropPages'>): number {
  calls.dropPages(fd)
  return readSync(fd, into, 0, into.length, 0)
}
