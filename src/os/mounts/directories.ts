import { closeSync, constants, mkdirSync, openSync, rmdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { codeOf, naming } from '../../errors.ts'
import { O_PATH } from './pinned-paths.ts'

/** Calls `act` with a name of a path, such as {@link Places.within} does. */
export type Within = <T>(path: string, act: (name: string) => T) => T

const itself: Within = (path, act) => act(path)

/**
 * Makes a path's directories that are missing, one by one from the top: at most one mkdir(2) for each name in it. Returns the first one
 * that it made, or undefined if all were there. Each is made by the name that `within` gives it. Throws SystemError, which names the directory; then it has removed again what it made.
 *
 * Node's own recursive mkdir goes round for ever where mkdir(2) says ENOENT and stat(2) finds the parent: below a mounted directory that was
 * removed, and below /proc/PID.
 */
export function makeDirectories(folder: string, mode = 0o777, within = itself): string | undefined {
  const path = resolve(folder)
  const made: string[] = []
  try {
    for (const prefix of prefixesOf(path)) if (makeOne(prefix, mode, within)) made.push(prefix)
    if (made.length === 0) requireDirectory(path, within)
    return made[0]
  } catch (error) {
    const [first] = made
    if (first !== undefined) removeDirectories(made.at(-1) ?? first, first, within)
    throw error
  }
}

/**
 * Removes empty directories from `path` up to `first`, which is an ancestor of `path` or `path` itself. Ends at a directory that cannot be removed.
 */
export function removeDirectories(path: string, first: string, within = itself): void {
  for (let at = path; at.length >= first.length; at = dirname(at)) {
    try {
      within(at, rmdirSync)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') return
    }
  }
}

function makeOne(path: string, mode: number, within: Within): boolean {
  try {
    within(path, (name) => mkdirSync(name, { mode }))
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw naming(path, error)
  }
}

/** Does not wait for a file system that is mounted there. */
function requireDirectory(path: string, within: Within): void {
  const flags = O_PATH | constants.O_DIRECTORY | (within === itself ? 0 : constants.O_NOFOLLOW)
  try {
    within(path, (name) => closeSync(openSync(name, flags)))
  } catch (error) {
    throw naming(path, error)
  }
}

/** `/a/b/c`: `/a`, `/a/b`, `/a/b/c`. */
function prefixesOf(path: string): readonly string[] {
  const names = path.split('/').filter((name) => name !== '')
  return names.map((_, index) => `/${names.slice(0, index + 1).join('/')}`)
}
