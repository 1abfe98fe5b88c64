import { constants, openSync } from 'node:fs'
import { codeOf, messageOf, ProgramError } from '../errors.ts'
import type { Libc } from '../os/libc.ts'

const LOCK_EX = 2
const LOCK_NB = 4

/**
 * Keeps a second process off a folder of its state: two would mount everything twice. flock(2) of the folder itself holds in every namespace and on a read-only
 * file system, and only a process that may read the folder can take it. The kernel gives it back however this process ends. `program`: what it is
 * called in the message. Throws ProgramError, status 1.
 */
export function lockState(libc: Libc, folder: string, program: string): void {
  try {
    // Open, and so locked, until this process ends.
    const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
    libc.checked('flock', undefined, 'int flock(int, int)', fd, LOCK_EX | LOCK_NB)
  } catch (cause) {
    // As a cause, EAGAIN would say that something of this machine has run out.
    const taken = codeOf(cause) === 'EAGAIN'
    const problem = taken
      ? `another ${program} uses the state folder ${folder}; stop it`
      : `cannot lock the state folder ${folder}: ${messageOf(cause)}; repair it`
    throw new ProgramError(`${problem}, or name another with --state-dir`, 1, taken ? {} : { cause })
  }
}
