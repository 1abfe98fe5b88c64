import { messageOf, ProgramError } from '../errors.ts'
import { lockFolder } from '../os/descriptors/folder-lock.ts'
import type { Libc } from '../os/libc.ts'

/**
 * Keeps a second process off a folder of its state: two would mount everything twice. Only a process that may read the folder can lock it, and the lock is held until this
 * process ends. `program`: what it is called in the message. Throws ProgramError, status 1.
 */
export function lockState(libc: Libc, folder: string, program: string): void {
  if (lockOf(libc, folder) === undefined)
    throw new ProgramError(`another ${program} uses the state folder ${folder}; stop it, or name another with --state-dir`, 1)
}

function lockOf(libc: Libc, folder: string): number | undefined {
  try {
    return lockFolder(libc, folder)
  } catch (cause) {
    throw new ProgramError(
      `cannot lock the state folder ${folder}: ${messageOf(cause)}; repair it, or name another with --state-dir`,
      1,
      { cause },
    )
  }
}
