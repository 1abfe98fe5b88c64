import { closeSync, constants, openSync } from 'node:fs'
import { codeOf } from '../../errors.ts'
import type { Libc } from '../libc.ts'

const LOCK_EX = 2
const LOCK_NB = 4

/**
 * Locks a folder itself (flock(2)), which works in every namespace and on a read-only file system. Returns the descriptor that holds the lock until it is closed, or
 * this process ends, however it ends; undefined if another one has the lock. Throws Node's error or SystemError.
 */
export function lockFolder(libc: Libc, folder: string): number | undefined {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    libc.checked('flock', undefined, 'int flock(int, int)', fd, LOCK_EX | LOCK_NB)
    return fd
  } catch (error) {
    closeSync(fd)
    if (codeOf(error) === 'EAGAIN') return undefined
    throw error
  }
}
