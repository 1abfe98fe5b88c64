import { dirname } from 'node:path'
import { messageOf } from '../errors.ts'
import type { Mount, MountTable } from '../os/mount-table.ts'
import { readLink } from '../os/undecoded.ts'
import { fromErrno, VolumeError } from './errors.ts'

/** Symbolic links on one path that the kernel follows (path_resolution(7)). */
const MOST_LINKS = 40

/**
 * The mounts that a walk to a path comes through, the root's and the path's own left out, with symbolic links followed as the kernel
 * would. One step is taken at a time: whoever iterates can look at a mount before anything behind it is asked. Ends at what is not there.
 * Throws VolumeError `invalid` for links in a circle.
 */
export function* mountsOnTheWayTo(table: MountTable, path: string): Generator<{ readonly path: string; readonly mount: Mount }> {
  const rest = dirname(path).split('/')
  let at = '/'
  let links = 0
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === '' || name === '.') continue
    const next = name === '..' ? dirname(at) : `${at === '/' ? '' : at}/${name}`
    const state = table.at(next)
    if (state.kind === 'absent') return
    if (state.kind === 'plain' && state.type === 'symlink') {
      if (++links > MOST_LINKS) throw new VolumeError('invalid', `${path} leads through more than ${MOST_LINKS} symbolic links`)
      const link = linkAt(next)
      if (link.startsWith('/')) at = '/'
      rest.unshift(...link.split('/'))
      continue
    }
    if (state.kind === 'mount' && next !== '/') yield { path: next, mount: state.mount }
    at = next
  }
}

function linkAt(path: string): string {
  try {
    return readLink(path)
  } catch (error) {
    throw fromErrno(error, `cannot follow ${path}: ${messageOf(error)}`)
  }
}
