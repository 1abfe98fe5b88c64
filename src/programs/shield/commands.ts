import { mkdtempSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { messageOf, ProgramError } from '../../errors.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { executablePath } from '../../os/processes/executable-on-path.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import type { DaemonCommand } from '../../shield/daemon-process.ts'
import { removeTarget } from '../../shield/daemon-target.ts'
import type { SessionFacts } from '../../shield/session-facts.ts'
import { type DaemonWords, parseCommand } from './options.ts'

/** The file that a command executes, as an absolute path. Throws ProgramError. */
export function executableOf({ words: [program = ''] }: DaemonWords, env: NodeJS.ProcessEnv): string {
  const file = executablePath(program, env.PATH ?? '')
  if (file === undefined)
    throw new ProgramError(`${program} does not exist or is not executable; name an executable file`, STATUS.failed)
  return file
}

/** The command that starts daemons, and the directory that its daemons are to mount at. Nothing is ever mounted there. */
export class Commands {
  readonly #targets: string | undefined
  #current: DaemonCommand

  private constructor(current: DaemonCommand, targets: string | undefined) {
    this.#current = current
    this.#targets = targets
  }

  /**
   * The command that the shield was called with, or what an upgrade has replaced it by since, before an earlier process was killed (`facts`). Makes a directory, if need be, in
   * `targets`, or in $TMPDIR. Throws ProgramError.
   */
  static of(called: DaemonWords, env: NodeJS.ProcessEnv, targets: string | undefined, facts: SessionFacts = {}): Commands {
    const { command, target } = facts
    const isUpgraded = command !== undefined && isDeepStrictEqual(facts.called, called.words)
    const file = isUpgraded ? command.file : executableOf(called, env)
    return new Commands(filled(file, isUpgraded ? parseCommand(command.words) : called, makeTarget(targets, target)), targets)
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
    const command = filled(file, words, makeTarget(this.#targets))
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

function filled(file: string, { words, args }: DaemonWords, target: string): DaemonCommand {
  const [program = ''] = words
  return { file, words, args: [program, ...args(target)], target }
}

/** `folder`: where it is made, if not in $TMPDIR; `left`: that of an earlier process. Throws ProgramError. */
function makeTarget(folder = tmpdir(), left?: string): string {
  try {
    if (left !== undefined) {
      makeDirectories(left, 0o700)
      return left
    }
    makeDirectories(folder, 0o700)
    // Some daemons resolve it, and mount at what they have found.
    return mkdtempSync(join(realpathSync(folder), 'dummy-fuse-shield-'))
  } catch (error) {
    const advice = 'set TMPDIR to a folder that can be written to, or name one with --targets'
    throw new ProgramError(`cannot make a directory for the daemon: ${messageOf(error)}; ${advice}`, STATUS.failed, {
      cause: error,
    })
  }
}
