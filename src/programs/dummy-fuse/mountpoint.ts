import { resolve } from 'node:path'
import { codeOf, errnoText, messageOf, ProgramError } from '../../errors.ts'
import { isFuse, type MountTable } from '../../os/mounts/mount-table.ts'
import { readLink } from '../../os/descriptors/undecoded.ts'
import { probe } from '../../os/mounts/probe.ts'
import { STATUS } from '../../os/processes/exit-status.ts'

/** As many as path_resolution(7) follows. */
const MAX_LINKS = 40

/**
 * realpath(3) that enters no FUSE mount before it has answered: the way to a mount point may lead through one that is dead or hung.
 * `path` is absolute. Throws ProgramError.
 */
export async function followLinks(path: string, table: MountTable): Promise<string> {
  let links = 0
  let done = '/'
  let rest = path.split('/')
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === '') continue
    const next = resolve(done, name)
    const fsType = typeAt(table, next)
    if (fsType !== undefined) await refuseDead(path, fsType, next)
    const target = linkAt(path, next, rest)
    if (target === undefined) done = next
    else {
      if (++links > MAX_LINKS) throw unreachable(path, errnoText('ELOOP'))
      rest = [...target.split('/'), ...rest]
      if (target.startsWith('/')) done = '/'
    }
  }
  return done
}

/** The type of what is mounted at a path. Of what cannot be looked at, the next step of the way tells more. */
function typeAt(table: MountTable, path: string): string | undefined {
  try {
    const state = table.at(path)
    return state.kind === 'mount' ? state.mount.fsType : undefined
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return undefined
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

/** What the symbolic link at `at` holds; undefined for anything else that is there. */
function linkAt(path: string, at: string, rest: readonly string[]): string | undefined {
  try {
    return readLink(at)
  } catch (error) {
    const code = codeOf(error)
    if (code === 'EINVAL') return undefined
    if (code === 'ENOENT') {
      const missing = resolve(at, ...rest)
      throw new ProgramError(`${path}: no such directory; create it first (mkdir -p ${missing})`, STATUS.mountpointMissing)
    }
    if (code === 'ENOTDIR') throw new ProgramError(`${path}: not a directory; name an empty directory`, STATUS.notADirectory)
    throw unreachable(path, errnoText(code ?? messageOf(error)))
  }
}

function unreachable(path: string, why: string): ProgramError {
  return new ProgramError(
    `${path}: cannot be reached: ${why}; repair the path, or name another directory`,
    STATUS.mountpointMissing,
  )
}
