import { close, closeSync, fdatasyncSync, fsync, ftruncateSync, open, openSync, write, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { codeOf } from '../errors.ts'
import { replaceFile, syncFolderSoon, writeDurably } from './durable-file.ts'
import type { Libc } from './libc.ts'

/** open(2), include/uapi/asm-generic/fcntl.h: a file without a name, in the folder that is opened. */
const O_TMPFILE = 0o20200000
const O_RDWR = 2
/** linkat(2). */
const AT_FDCWD = -100
const AT_SYMLINK_FOLLOW = 0x400

/** Bytes of a prepared file: one block, with room for any record but those of the longest paths. */
const SIZE = 4096

/** Files that are kept ready: as many as calls may be in flight on a busy node. */
const READY = 16

/** Files that are made at the same time: libuv's pool has four threads, and others want some. */
const AT_ONCE = 2

/** Milliseconds after which a folder's new names are synced: all at once, and not while the next file is about to be. */
const SYNC_AFTER = 50

/**
 * Writes files as writeDurably() does, in a fraction of its time: a file's inode and block are made, and are on the disk, before they are needed,
 * so that only its bytes have to follow (fdatasync(2)); names follow a moment later. Prepared files have no name: none is left when the process dies. Where the file
 * system has no such files (O_TMPFILE), or none is ready, it is writeDurably() that writes.
 */
export class PreparedFiles {
  readonly #libc: Libc
  readonly #folder: string
  readonly #ready: number[] = []
  /** Folders whose names are about to be synced. */
  readonly #syncing = new Set<string>()
  #making = 0

  /** `folder`: there by the first {@link prepare}, and on the file system that is written to. */
  constructor(libc: Libc, folder: string) {
    this.#libc = libc
    this.#folder = folder
  }

  /** Makes files, in other threads, until enough are ready or one cannot be made. */
  prepare(): void {
    while (this.#making < AT_ONCE && this.#ready.length + this.#making < READY) {
      this.#making++
      this.#make((fd) => {
        this.#making--
        if (fd === undefined) return
        this.#ready.push(fd)
        this.prepare()
      })
    }
  }

  /** Like writeDurably(). */
  write(path: string, text: string): void {
    const fd = Buffer.byteLength(text) <= SIZE ? this.#ready.pop() : undefined
    if (fd === undefined || !this.#fill(fd, path, text)) writeDurably(path, text)
    if (this.#ready.length < READY / 2) this.prepare()
  }

  /** Tells whether it could; why not, writeDurably() finds out and tells. */
  #fill(kept: number, path: string, text: string): boolean {
    try {
      const fd = openSync(nameOf(kept), 'r+')
      try {
        writeSync(fd, text, 0)
        fdatasyncSync(fd)
        // What is behind it, if the power goes before this is on the disk, are line feeds.
        ftruncateSync(fd, Buffer.byteLength(text))
      } finally {
        closeSync(fd)
      }
      this.#name(kept, path)
      this.#syncSoon(dirname(path))
      return true
    } catch {
      return false
    } finally {
      closeSync(kept)
    }
  }

  #name(fd: number, path: string): void {
    try {
      this.#link(fd, path)
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
      replaceFile(path, (partial) => {
        this.#link(fd, partial)
      })
    }
  }

  #link(fd: number, path: string): void {
    const definition = 'int linkat(int, str, int, str, int)'
    this.#libc.checked('linkat', path, definition, AT_FDCWD, nameOf(fd), AT_FDCWD, path, AT_SYMLINK_FOLLOW)
  }

  #syncSoon(folder: string): void {
    if (this.#syncing.has(folder)) return
    this.#syncing.add(folder)
    setTimeout(() => {
      this.#syncing.delete(folder)
      syncFolderSoon(folder)
    }, SYNC_AFTER).unref()
  }

  #make(made: (fd: number | undefined) => void): void {
    open(this.#folder, O_TMPFILE | O_RDWR, 0o600, (cannotOpen, fd) => {
      if (cannotOpen !== null) {
        made(undefined)
        return
      }
      write(fd, Buffer.alloc(SIZE, '\n'), 0, SIZE, 0, (cannotWrite, written) => {
        fsync(fd, (cannotSync) => {
          const whole = cannotWrite === null && written === SIZE && cannotSync === null
          made(whole ? reopened(fd) : undefined)
          close(fd)
        })
      })
    })
  }
}

/** For reading alone: who is open for writing would keep people from making the file system read-only. */
function reopened(fd: number): number | undefined {
  try {
    return openSync(nameOf(fd), 'r')
  } catch {
    return undefined
  }
}

/** proc_pid_fd(5) */
function nameOf(fd: number): string {
  return `/proc/self/fd/${fd}`
}
