import { closeSync, constants, openSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { codeOf, SystemError } from '../../errors.ts'
import type { Libc } from '../libc.ts'
import { superBlockOf } from './super-block.ts'

/** x86-64 and arm64 share this number (include/uapi/asm-generic/unistd.h). */
const SYS_OPENAT2 = 437
const AT_FDCWD = -100
/** open(2): a place in the tree alone; no file system is asked (include/uapi/asm-generic/fcntl.h). */
export const O_PATH = 0o10000000
const O_CLOEXEC = 0o2000000
/** include/uapi/linux/openat2.h. */
const RESOLVE_NO_SYMLINKS = 0x04

/**
 * Directories by absolute paths without symbolic links. If a component is a link, each call fails with ELOOP and does nothing at the link's
 * destination. By openat2(2), Linux 5.6; before that, or where a seccomp filter forbids it, links above the last component are followed.
 */
export class PinnedPaths {
  readonly #libc: Libc
  /** struct open_how: flags, mode, resolve. */
  readonly #how = Buffer.alloc(24)
  #byDescriptor = true

  constructor(libc: Libc) {
    this.#libc = libc
    this.#how.writeBigUInt64LE(BigInt(O_PATH | O_CLOEXEC | constants.O_DIRECTORY), 0)
    this.#how.writeBigUInt64LE(BigInt(RESOLVE_NO_SYMLINKS), 16)
  }

  /** A descriptor (O_PATH) of the topmost directory at a path. Throws SystemError: ELOOP for a symbolic link, ENOENT, ENOTDIR. */
  open(path: string): number {
    if (!this.#byDescriptor) return openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    try {
      const definition = 'long syscall(long, int, str, void *, ulong)'
      return this.#libc.checked('openat2', path, definition, SYS_OPENAT2, AT_FDCWD, path, this.#how, this.#how.length)
    } catch (error) {
      if (!['ENOSYS', 'EPERM'].includes(codeOf(error) ?? '')) throw error
      this.#byDescriptor = false
      return this.open(path)
    }
  }

  /** The super block (`major:minor`) that a path shows; undefined where it cannot be followed without a link. */
  deviceAt(path: string): string | undefined {
    let fd: number
    try {
      fd = this.open(path)
    } catch {
      return undefined
    }
    try {
      return superBlockOf(this.#libc, fd)
    } finally {
      closeSync(fd)
    }
  }

  /**
   * Calls `act` with another name of a path, whose parent cannot be replaced by a link meanwhile; act must not follow a link at the name's end.
   * Throws what it throws, with the path's own name, and SystemError as {@link open} does for the parent.
   */
  within<T>(path: string, act: (name: string) => T): T {
    const { name, parent } = this.#nameOf(path)
    try {
      return act(name)
    } catch (error) {
      throw renamed(error, name, path)
    } finally {
      if (parent !== undefined) closeSync(parent)
    }
  }

  /** {@link within}, for what takes its time. */
  async withinAsync<T>(path: string, act: (name: string) => Promise<T>): Promise<T> {
    const { name, parent } = this.#nameOf(path)
    try {
      return await act(name)
    } catch (error) {
      throw renamed(error, name, path)
    } finally {
      if (parent !== undefined) closeSync(parent)
    }
  }

  #nameOf(path: string): { readonly name: string; readonly parent?: number } {
    if (path === '/') return { name: path }
    const parent = this.open(dirname(path))
    return { name: `/proc/self/fd/${parent}/${basename(path)}`, parent }
  }
}

/** A failure that names a path as the caller knows it. */
function renamed(error: unknown, name: string, path: string): unknown {
  if (!(error instanceof SystemError) || error.path !== name) return error
  return new SystemError(error.syscall, error.code, error.errno, path)
}
