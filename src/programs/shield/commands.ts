import { chmodSync, chownSync, mkdtempSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { messageOf, ProgramError } from '../../errors.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { executablePath } from '../../os/processes/executable-on-path.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { userOf } from '../../os/processes/users.ts'
import type { Confinement } from '../../shield/confinement.ts'
import type { DaemonCommand } from '../../shield/daemon-process.ts'
import { removeTarget } from '../../shield/daemon-target.ts'
import type { SessionFacts } from '../../shield/session-facts.ts'
import { programPath } from '../program-places.ts'
import { type DaemonWords, parseCommand } from './options.ts'

/** How all daemons of a shield are started. */
interface DaemonOptions {
  /** Undefined: they run as the shield does. */
  readonly confinement: Confinement | undefined
  /** The folder of the directories that they are to mount at; undefined: $TMPDIR. It is made if it is missing. */
  readonly targets: string | undefined
}

/** The file that a command executes, as an absolute path. Throws ProgramError. */
export function executableOf({ words: [program = ''] }: DaemonWords, env: NodeJS.ProcessEnv): string {
  const file = executablePath(program, env.PATH ?? '')
  if (file === undefined)
    throw new ProgramError(`${program} does not exist or is not executable; name an executable file`, STATUS.failed)
  return file
}

/** How daemons run as a user (`--user`). Throws ProgramError. */
export function confinementOf(user: string, env: NodeJS.ProcessEnv): Confinement {
  const ids = userOf(user)
  if (ids === undefined)
    throw new ProgramError(`${user} is no user of /etc/passwd; name one, or give UID:GID, such as 65534:65534`, STATUS.usage)
  const setpriv = executablePath('setpriv', programPath(env))
  if (setpriv === undefined)
    throw new ProgramError('--user needs setpriv(1), which is not there; install the package util-linux', STATUS.failed)
  return { ...ids, setpriv }
}

/** The command that starts daemons, and the directory that its daemons are to mount at. Nothing is ever mounted there. */
export class Commands {
  readonly #daemons: DaemonOptions
  #current: DaemonCommand

  private constructor(current: DaemonCommand, daemons: DaemonOptions) {
    this.#current = current
    this.#daemons = daemons
  }

  /**
   * The command that the shield was called with, or what an upgrade has replaced it by since, before an earlier process was killed (`facts`). Makes a directory, if need be.
   * Throws ProgramError.
   */
  static of(called: DaemonWords, daemons: DaemonOptions, env: NodeJS.ProcessEnv, facts: SessionFacts = {}): Commands {
    const { command, target } = facts
    const isUpgraded = command !== undefined && isDeepStrictEqual(facts.called, called.words)
    const file = isUpgraded ? command.file : executableOf(called, env)
    return new Commands(filled(file, isUpgraded ? parseCommand(command.words) : called, daemons, target), daemons)
  }

  get current(): DaemonCommand {
    return this.#current
  }

  /**
   * Has `act` do something with another command, or with the same one again, and a directory of its own. That becomes the current one if `act` succeeds. Rejects as `act` does, and
   * with ProgramError.
   */
  async replace<T>(
    next: { file: string; words: DaemonWords } | undefined,
    act: (command: DaemonCommand) => Promise<T>,
  ): Promise<T> {
    const { file, words } = next ?? { file: this.#current.file, words: parseCommand(this.#current.words) }
    const command = filled(file, words, this.#daemons)
    let unused = command.target
    try {
      const result = await act(command)
      unused = this.#current.target
      this.#current = command
      return result
    } finally {
      removeTarget(unused)
    }
  }

  /** Removes the directory of the current command, whose daemon has ended. May be called twice. */
  removeTarget(): void {
    removeTarget(this.#current.target)
  }
}

/** Makes the directory of a command; `left`: that of an earlier process. Throws ProgramError. */
function filled(file: string, { words, args }: DaemonWords, daemons: DaemonOptions, left?: string): DaemonCommand {
  const [program = ''] = words
  const target = makeTarget(daemons, left)
  return { file, words, args: [program, ...args(target)], target, confinement: daemons.confinement }
}

/** `left`: the directory of an earlier process. Throws ProgramError. */
function makeTarget({ confinement, targets = tmpdir() }: DaemonOptions, left: string | undefined): string {
  try {
    makeDirectories(left ?? targets, 0o700)
    // Some daemons resolve it, and mount at what they have found.
    const target = left ?? mkdtempSync(join(realpathSync(targets), 'dummy-fuse-shield-'))
    if (confinement !== undefined) {
      // fusermount(1) wants a directory that its user can write to. As its owner, the user could put another one in its place.
      chownSync(target, 0, confinement.gid)
      chmodSync(target, 0o770)
    }
    return target
  } catch (error) {
    const advice = 'set TMPDIR to a folder that can be written to, or name one with --targets'
    throw new ProgramError(`cannot make a directory for the daemon: ${messageOf(error)}; ${advice}`, STATUS.failed, {
      cause: error,
    })
  }
}
