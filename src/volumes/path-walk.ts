import { codeOf, messageOf } from '../errors.ts'
import type { MountTable } from '../os/mounts/mount-table.ts'
import { MOST_LINKS, type Passed, walk as walkTo, type WalkRules } from '../os/mounts/path-walk.ts'
import { fromErrno, VolumeError } from './errors.ts'

/** os/mounts/path-walk.ts for the paths of calls. Throws VolumeError: `invalid` for links in a circle, or what `rules.check` throws. */
export function* walk(table: MountTable, path: string, rules: WalkRules): Generator<Passed, string> {
  try {
    return yield* walkTo(table, path, rules)
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ELOOP')
      throw new VolumeError('invalid', `${path} leads through more than ${MOST_LINKS} symbolic links`, { cause: error })
    if (error instanceof VolumeError || code === undefined) throw error
    throw fromErrno(error, `cannot follow ${path}: ${messageOf(error)}`)
  }
}
