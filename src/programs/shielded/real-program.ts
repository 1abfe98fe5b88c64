import { statSync } from 'node:fs'
import { delimiter } from 'node:path'
import { ProgramError } from '../../errors.ts'
import { executablePath } from '../../os/processes/executable-on-path.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { programPath } from '../program-places.ts'
import { shieldedNameOf } from './name.ts'

/**
 * The program of a name that is not this executable: the first one of that name on PATH, or else the first one that dpkg-divert(1) has moved out of the way. An absolute path.
 * Throws ProgramError if there is none.
 */
export function realProgram(name: string, env: NodeJS.ProcessEnv): string {
  const folders = programPath(env).split(delimiter)
  const places = [name, `${name}.distrib`].flatMap((one) => folders.flatMap((folder) => executablePath(one, folder) ?? []))
  const real = places.find((place) => !isOurs(place))
  if (real !== undefined) return real
  throw new ProgramError(
    `there is no ${name} on PATH beside the shield's own; install it, or move it out of the way by dpkg-divert --rename, to ${name}.distrib`,
    STATUS.failed,
  )
}

/** Also a link of another copy of this executable would start the shield again, and that itself. */
function isOurs(place: string): boolean {
  if (shieldedNameOf(place) !== undefined) return true
  const [own, other] = [statSync('/proc/self/exe'), statSync(place)]
  return own.dev === other.dev && own.ino === other.ino
}
