import { lstatSync } from 'node:fs'
import { codeOf, errnoText, messageOf, ProgramError } from '../../errors.ts'
import { isFuse, type MountTable } from '../../os/mounts/mount-table.ts'
import { walk } from '../../os/mounts/path-walk.ts'
import { probe } from '../../os/mounts/probe.ts'
import { STATUS } from '../../os/processes/exit-status.ts'

/**
 * realpath(3) that enters no FUSE mount before it has answered: the way to a mount point may lead through one that is dead or hung.
 * `path` is absolute. Throws ProgramError.
 */
export async function followLinks(path: string, table: MountTable): Promise<string> {
  const steps = walk(table, path, { last: 'follow', own: true })
  let real = path
  try {
    let step = steps.next()
    for (; step.done !== true; step = steps.next()) await refuseDead(path, step.value.mount.fsType, step.value.path)
    real = step.value
    lstatSync(real)
    return real
  } catch (error) {
    throw error instanceof ProgramError ? error : unreachable(path, real, error)
  }
}

/** Throws ProgramError if the FUSE file system of type `fsType` mounted at `at`, on the way to `path`, is dead or does not answer. */
export async function refuseDead(path: string, fsType: string, at: string): Promise<void> {
  if (!isFuse(fsType)) return
  const where = at === path ? 'is there' : `is at ${at}`
  const answer = await probe(at)
  switch (answer.kind) {
    case 'unknown':
      throw new ProgramError(`${path}: ${answer.message}; call again`, STATUS.failed)
    case 'hung':
      throw new ProgramError(`${path}: a hung ${fsType} mount ${where}; end its daemon, then umount -l ${at}`, STATUS.deadMount)
    case 'dead':
      throw new ProgramError(`${path}: a dead ${fsType} mount ${where}; remove it first (umount ${at})`, STATUS.deadMount)
    case 'alive':
    case 'absent':
  }
}

/** Why a path cannot be walked; `real` is the path without symbolic links, as far as the walk came. */
function unreachable(path: string, real: string, error: unknown): ProgramError {
  const code = codeOf(error)
  if (code === 'ENOENT')
    return new ProgramError(`${path}: no such directory; create it first (mkdir -p ${real})`, STATUS.mountpointMissing)
  if (code === 'ENOTDIR') return new ProgramError(`${path}: not a directory; name an empty directory`, STATUS.notADirectory)
  return new ProgramError(
    `${path}: cannot be reached: ${code === undefined ? messageOf(error) : errnoText(code)}; repair the path, or name another directory`,
    STATUS.mountpointMissing,
    { cause: error },
  )
}
