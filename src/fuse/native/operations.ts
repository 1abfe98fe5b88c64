import type { Operations, Stat } from 'fuse-native'
import { constants as fsConstants } from 'node:fs'
import { constants } from 'node:os'
import { type Attributes, type FileSystem, FileSystemError, ROOT_ID } from '../filesystem.ts'

const { S_IXUSR, S_IXGRP, S_IXOTH, W_OK, X_OK } = fsConstants
const EXECUTE = S_IXUSR | S_IXGRP | S_IXOTH

/** What libfuse would answer with ENOSYS if it were absent; on a file system that is only read it is EROFS. */
const CHANGES = [
  'truncate',
  'ftruncate',
  'utimens',
  'chown',
  'chmod',
  'mknod',
  'setxattr',
  'removexattr',
  'write',
  'create',
  'unlink',
  'rename',
  'link',
  'symlink',
  'mkdir',
  'rmdir',
]

/** The path-based operations of libfuse's high-level interface over a file system of nodes. */
export function operations(filesystem: FileSystem, init: Operations['init']): Operations {
  const resolve = (path: string): Attributes =>
    path
      .split('/')
      .filter((name) => name !== '')
      .reduce((parent, name) => existing(filesystem.lookup(parent.nodeid, name)), filesystem.getattr(ROOT_ID))

  return {
    ...Object.fromEntries(CHANGES.map((name) => [name, refuse])),
    init,
    access(path, mode, done) {
      answer(done, () => {
        const attributes = resolve(path)
        if ((mode & W_OK) !== 0) throw new FileSystemError('EROFS')
        if ((mode & X_OK) !== 0 && (attributes.mode & EXECUTE) === 0) throw new FileSystemError('EACCES')
      })
    },
    statfs(_path, done) {
      answer(done, () => {
        const { blockSize, blocks, blocksFree, files, filesFree, nameLength } = filesystem.statfs()
        const sizes = { bsize: blockSize, frsize: blockSize, blocks, bfree: blocksFree, bavail: blocksFree }
        return { ...sizes, files, ffree: filesFree, favail: filesFree, namemax: nameLength }
      })
    },
    getattr(path, done) {
      answer(done, () => stat(resolve(path)))
    },
    readdir(path, done) {
      try {
        const entries = [...filesystem.readdir(resolve(path).nodeid)]
        done(
          0,
          entries.map(({ name }) => name),
          entries.map(({ attributes }) => stat(attributes)),
        )
      } catch (error) {
        done(-errnoOf(error))
      }
    },
    open(path, flags, done) {
      answer(done, () => {
        filesystem.open(resolve(path).nodeid, flags)
        return 0
      })
    },
    read(path, _handle, buffer, length, offset, done) {
      void Promise.try(() => filesystem.read(resolve(path).nodeid, offset, length)).then(
        (bytes) => {
          buffer.set(bytes)
          done(bytes.length)
        },
        (error: unknown) => {
          done(-errnoOf(error))
        },
      )
    },
  }
}

function existing(found: Attributes | undefined): Attributes {
  if (found === undefined) throw new FileSystemError('ENOENT')
  return found
}

function answer<T>(done: (status: number, result?: T) => void, act: () => T): void {
  let result: T
  try {
    result = act()
  } catch (error) {
    done(-errnoOf(error))
    return
  }
  done(0, result)
}

function refuse(...args: unknown[]): void {
  const done = args.at(-1) as (status: number) => void
  done(-constants.errno.EROFS)
}

function errnoOf(error: unknown): number {
  if (error instanceof FileSystemError) return error.errno
  throw error
}

function stat({ nodeid, mode, nlink, uid, gid, size, blocks, mtime }: Attributes): Stat {
  const time = Number(mtime) * 1000
  return { ino: Number(nodeid), mode, nlink, uid, gid, size, blocks, atime: time, mtime: time, ctime: time }
}
