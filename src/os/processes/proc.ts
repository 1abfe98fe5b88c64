import { existsSync } from 'node:fs'
import { ProgramError } from '../../errors.ts'

/** Throws ProgramError where /proc is not mounted (proc(5)): --help and --version need none, all else does. */
export function requireProc(): void {
  if (!existsSync('/proc/self/fd')) throw new ProgramError('/proc is not mounted; mount it (mount -t proc proc /proc)', 1)
}
