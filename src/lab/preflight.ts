import { accessSync, constants } from 'node:fs'
import { messageOf, ProgramError } from '../errors.ts'

/** The lab's exit status when it cannot run on this machine. */
const CANNOT_RUN = 3

/** Looks whether the lab can run here. Throws ProgramError with what is missing and what to do. */
export function preflight(): void {
  if (process.geteuid?.() !== 0) throw new ProgramError('the lab needs root, to mount; run it as root (sudo ...)', CANNOT_RUN)
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
  } catch (error) {
    throw new ProgramError(
      `the lab needs /dev/fuse: ${messageOf(error)}; run 'modprobe fuse', or pass the device into this container`,
      CANNOT_RUN,
    )
  }
}
