import { isAbsolute, resolve } from 'node:path'
import { UsageError } from '../errors.ts'
import { workingDirectoryDecodes } from '../os/descriptors/undecoded.ts'

/**
 * A path of the command line as an absolute one in its shortest form. Throws UsageError for a relative one where the working directory is gone, or has
 * a path that is not UTF-8.
 */
export function absolute(path: string): string {
  if (isAbsolute(path)) return resolve(path)
  if (!workingDirectoryDecodes())
    throw new UsageError(`${path}: the working directory's path is not UTF-8; name the full path, or start in another directory`)
  try {
    return resolve(path)
  } catch {
    throw new UsageError(`${path}: the working directory is gone; name the full path`)
  }
}
