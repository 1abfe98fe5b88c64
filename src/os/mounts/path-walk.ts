import { dirname, join } from 'node:path'
import { constants } from 'node:os'
import { codeOf, SystemError } from '../../errors.ts'
import { readLink } from '../descriptors/undecoded.ts'
import type { Mount, MountTable } from './mount-table.ts'

/** Symbolic links on one path that the kernel follows (path_resolution(7)). */
export const MOST_LINKS = 40

/** What a walk does about symbolic links, and about the mount at the path's end. */
export interface WalkRules {
  /** Called with each link before it is followed; what it throws ends the walk. */
  readonly check?: (link: string) => void
  /** Whether a link at the path's end is followed too. */
  readonly last: 'follow' | 'keep'
  /** Whether the walk comes through the mount at the path itself too. */
  readonly own?: boolean
}

/** A mount that a walk comes through. */
export interface Passed {
  readonly path: string
  readonly mount: Mount
}

/**
 * The mounts that a walk to a path comes through, the root's left out, with symbolic links followed as the kernel follows them. It takes one step at
 * a time: the caller can look at a mount before the walk asks anything behind it. It ends at what is not there. Returns the path without the
 * links. Throws SystemError ELOOP for links in a circle, and the error of readlink(2) or of the mount table.
 */
export function* walk(table: MountTable, path: string, { check, last, own = false }: WalkRules): Generator<Passed, string> {
  const rest = namesOf(path)
  let at = '/'
  let links = 0
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    const next = name === '..' ? dirname(at) : join(at, name)
    const state = table.at(next)
    if (state.kind === 'absent') return join(next, ...rest)
    if (state.kind === 'plain' && state.type === 'symlink' && (rest.length > 0 || last === 'follow')) {
      if (++links > MOST_LINKS) throw new SystemError('readlink', 'ELOOP', constants.errno.ELOOP)
      check?.(next)
      const link = linkAt(next)
      // It is a link no more: the component is looked at again.
      if (link === undefined) {
        rest.unshift(name)
        continue
      }
      if (link.startsWith('/')) at = '/'
      rest.unshift(...namesOf(link))
      continue
    }
    if (state.kind === 'mount' && next !== '/' && (own || rest.length > 0)) yield { path: next, mount: state.mount }
    at = next
  }
  return at
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.')
}

/** What a symbolic link holds; undefined if there is none any more. Throws the error of readlink(2). */
function linkAt(path: string): string | undefined {
  try {
    return readLink(path)
  } catch (error) {
    if (codeOf(error) === 'EINVAL' || codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
