import { statSync } from 'node:fs'
import { ProgramError } from '../../errors.ts'
import type { MountTable } from '../../os/mounts/mount-table.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { absolute } from '../absolute.ts'
import { followLinks } from '../dummy-fuse/mountpoint.ts'

/** A word of a call that names a directory. */
export interface NamedDirectory {
  /** The word's place in the call. */
  readonly index: number
  /** The directory as the word names it, made absolute, and without symbolic links. */
  readonly given: string
  readonly path: string
}

/** The words of a call that name directories: the mount point is one of them. Throws ProgramError if one leads to a dead or hung mount. */
export async function directoriesIn(words: readonly string[], table: MountTable): Promise<readonly NamedDirectory[]> {
  const found: NamedDirectory[] = []
  for (const [index, word] of words.entries()) {
    // Options, and the value of the one that all FUSE programs have.
    if (word === '' || word.startsWith('-') || words[index - 1] === '-o') continue
    const given = absolute(word)
    const path = await reached(given, table)
    if (path !== undefined) found.push({ index, given, path })
  }
  return found
}

/** A directory without symbolic links on the way; undefined if there is none. */
async function reached(given: string, table: MountTable): Promise<string | undefined> {
  try {
    const path = await followLinks(given, table)
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? path : undefined
  } catch (error) {
    // Most words of a call name no file.
    const statuses: readonly number[] = [STATUS.mountpointMissing, STATUS.notADirectory]
    if (error instanceof ProgramError && statuses.includes(error.status)) return undefined
    throw error
  }
}
