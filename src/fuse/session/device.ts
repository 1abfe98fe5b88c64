import { closeSync, openSync } from 'node:fs'
import type { Callable, Libc } from '../../os/libc.ts'

/** A FUSE connection's end in user space, as a session needs it. */
export interface Device {
  /** One whole request into `buffer`: its length in bytes, or a negative errno (EAGAIN: there is none). Never waits. */
  read(buffer: Buffer): number
  /** Writes one whole reply, the first `length` bytes of `buffer`. Returns 0, or a negative errno (ENOENT: the request was interrupted). */
  write(buffer: Buffer, length: number): number
  close(): void
}

/** open(2), include/uapi/asm-generic/fcntl.h. */
const O_RDWR_NONBLOCK = 0o2 | 0o4000

/** Opens /dev/fuse, non-blocking and closed on exec; returns its descriptor. Throws Node's error. */
export function openFuseDevice(): number {
  return openSync('/dev/fuse', O_RDWR_NONBLOCK)
}

/** The kernel's device, by read(2) and write(2) through glibc: Node's own would throw each EAGAIN, which costs more than a request. */
export class KernelDevice implements Device {
  readonly fd: number
  readonly #libc: Libc
  readonly #read: Callable
  readonly #write: Callable

  constructor(libc: Libc, fd: number) {
    this.fd = fd
    this.#libc = libc
    this.#read = libc.foreign('long read(int, void *, ulong)')
    this.#write = libc.foreign('long write(int, void *, ulong)')
  }

  read(buffer: Buffer): number {
    const length = Number(this.#read(this.fd, buffer, buffer.length))
    return length < 0 ? -this.#libc.errno() : length
  }

  write(buffer: Buffer, length: number): number {
    return Number(this.#write(this.fd, buffer, length)) < 0 ? -this.#libc.errno() : 0
  }

  close(): void {
    closeSync(this.fd)
  }
}
