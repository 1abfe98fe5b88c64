import { getRawAsset, isSea } from 'node:sea'
import { ProgramError } from '../errors.ts'
import { LAUNCHERS } from '../os/processes/launcher.ts'

/** The launcher of a program, out of the executable, which alone holds it. Throws ProgramError elsewhere. */
export function launcherImage(of: keyof typeof LAUNCHERS): Buffer {
  if (!isSea()) throw new ProgramError('only the executable holds the launcher; build it (node build.mjs) and run that', 1)
  return Buffer.from(getRawAsset(LAUNCHERS[of].asset))
}
