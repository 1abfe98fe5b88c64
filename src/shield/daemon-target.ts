import { rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf } from '../errors.ts'

/**
 * go-fuse opens this name at its mount point when it has mounted, and ends without it (fuse/poll.go). The file is there from the mount on: other daemons want an
 * empty directory before.
 */
export const ASKED_FOR = '.go-fuse-epoll-hack'

/** Removes the directory of daemons that have ended. It stays if one has left something in it. May be called twice. */
export function removeTarget(target: string): void {
  rmSync(join(target, ASKED_FOR), { force: true })
  try {
    rmdirSync(target)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTEMPTY') throw error
  }
}
