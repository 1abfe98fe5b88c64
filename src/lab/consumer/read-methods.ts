import { openSync, readSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { MappedPages, PageCalls } from '../../os/descriptors/mapped-file.ts'
import { close } from './close.ts'

/** One way of reading a file again and again. Each read asks the file system; none is answered out of the page cache. */
export interface ReadMethod {
  /** Reads the file from its beginning into the buffer, and returns how many bytes there were. Throws errors that carry an errno's name. */
  read(into: Buffer): number
}

/** By name: what the process holds between two reads. */
export const READ_METHODS: Readonly<Record<string, (file: string, calls: PageCalls) => ReadMethod>> = {
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
  /** A memory map. */
  mapped: (file, calls) => {
    let fd: number | undefined
    let pages: MappedPages | undefined
    const length = 4096
    const memory = calls.memory(length)
    return {
      read: (into) => {
        fd ??= openSync(file, 'r')
        pages ??= calls.map(fd, length)
        pages.dropFromTable()
        calls.dropPages(fd)
        const count = pages.read(into, memory)
        // What lies past the file's end in its last page is zero.
        const end = into.subarray(0, count).indexOf(0)
        return end < 0 ? count : end
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

function readOnce(file: string, into: Buffer, calls: PageCalls): number {
  const fd = openSync(file, 'r')
  try {
    return readFresh(fd, into, calls)
  } finally {
    close(fd)
  }
}

function readFresh(fd: number, into: Buffer, calls: PageCalls): number {
  calls.dropPages(fd)
  return readSync(fd, into, 0, into.length, 0)
}
