import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { codeOf } from '../../errors.ts'

/** statfs(2) of every FUSE mount (include/uapi/linux/magic.h). */
const FUSE_SUPER_MAGIC = 0x65735546

/**
 * Whether a path, or the nearest one above it that exists, is on a FUSE mount, or on a file system that fails to say what it is, as a dead mount does. The
 * node's own disk is neither. A mount that hangs blocks the caller.
 */
export function isOnFuse(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    try {
      return statfsSync(at).type === FUSE_SUPER_MAGIC
    } catch (error) {
      const code = codeOf(error)
      if (code === undefined) throw error
      if (code !== 'ENOENT' || at === dirname(at)) return true
    }
  }
}
