import { fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs'
import { type Libc, PROT } from '../libc.ts'

const MFD_CLOEXEC = 1
/** fallocate(2): FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE. */
const PUNCH_HOLE = 3

/** A part of a {@link MemoryFile} in this process's memory. */
export interface MappedPart {
  readonly memory: ArrayBuffer
  /** `memory` must not be used any more. */
  unmap(): void
}

/** A file in memory (memfd_create(2)), which lives as long as any process has a descriptor of it. Only what was written takes memory. */
export class MemoryFile {
  readonly fd: number
  readonly #libc: Libc

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc
    this.fd = fd
  }

  /** `name`: for people who look at /proc. `length`: in bytes. Throws SystemError. */
  static create(libc: Libc, name: string, length: number): MemoryFile {
    const fd = libc.checked('memfd_create', undefined, 'int memfd_create(str, uint)', name, MFD_CLOEXEC)
    ftruncateSync(fd, length)
    return new MemoryFile(libc, fd)
  }

  /** One that another process has made. */
  static adopt(libc: Libc, fd: number): MemoryFile {
    return new MemoryFile(libc, fd)
  }

  get length(): number {
    return fstatSync(this.fd).size
  }

  /** Writes the first `length` bytes of a buffer at a place. Throws Node's error (ENOSPC, ENOMEM). */
  write(bytes: Buffer, length: number, place: number): void {
    for (let at = 0; at < length;) at += writeSync(this.fd, bytes, at, length - at, place + at)
  }

  /** Reads up to `length` bytes from a place; fewer at the end of the file. */
  read(length: number, place: number): Buffer {
    const bytes = Buffer.alloc(length)
    return bytes.subarray(0, readSync(this.fd, bytes, 0, length, place))
  }

  /** Maps a part, which begins and ends at multiples of a page. Throws SystemError. */
  map(place: number, length: number): MappedPart {
    const address = this.#libc.map(this.fd, place, length, PROT.READ | PROT.WRITE)
    return {
      memory: this.#libc.memoryAt(address, length),
      unmap: () => {
        this.#libc.checked('munmap', undefined, 'int munmap(ulong, ulong)', address, length)
      },
    }
  }

  /** Gives back the memory of a part, which reads as zeros from now on. Throws SystemError. */
  clear(place: number, length: number): void {
    this.#libc.checked('fallocate', undefined, 'int fallocate(int, int, long, long)', this.fd, PUNCH_HOLE, place, length)
  }
}
