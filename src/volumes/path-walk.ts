import { dirname, join } from 'node:path'
import { codeOf, messageOf } from '../errors.ts'
import type { Mount, MountTable } from '../os/mounts/mount-table.ts'
import { readLink } from '../os/descriptors/undecoded.ts'
import { fromErrno, VolumeError } from './errors.ts'

/** Symbolic links on one path that the kernel follows (path_resolution(7)). */
const MOST_LINKS = 40

/** What a walk does about symbolic links. */
export interface LinkRules {
  /** Called with each link before it is followed; what it throws ends the walk. */
  readonly check?: (link: string) => void
  /** Whether a link at the path's end is followed too. */
  readonly last: 'follow' | 'keep'
}

/** A mount that a walk comes through. */
export interface Passed {
  readonly path: string
  readonly mount: Mount
}

/**
 * The mounts that a walk to a path comes through, the root's and the path's own left out, with symbolic links followed as the kernel
 * would. One step is taken at a time: whoever iterates can look at a mount before anything behind it is asked. Ends at what is not there. Returns
 * the path without the links. Throws VolumeError `invalid` for links in a circle.
 */
export function* walk(table: MountTable, path: string, { check, last }: LinkRules): Generator<Passed, string> {
  const rest = namesOf(path)
  let at = '/'
  let links = 0
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    const next = name === '..' ? dirname(at) : join(at, name)
    const state = table.at(next)
    if (state.kind === 'absent') return join(next, ...rest)
    if (state.kind === 'plain' && state.type === 'symlink' && (rest.length > 0 || last === 'follow')) {
      if (++links > MOST_LINKS) throw new VolumeError('invalid', `${path} leads through more than ${MOST_LINKS} symbolic links`)
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
    if (state.kind === 'mount' && next !== '/' && rest.length > 0) yield { path: next, mount: state.mount }
    at = next
  }
  return at
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.')
}

/** What a symbolic link holds; undefined if there is none any more. Throws VolumeError. */
function linkAt(path: string): string | undefined {
  try {
    return readLink(path)
  } catch (error) {
    if (codeOf(error) === 'EINVAL' || codeOf(error) === 'ENOENT') return undefined
    throw fromErrno(error, `cannot follow ${path}: ${messageOf(error)}`)
  }
}
