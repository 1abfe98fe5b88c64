import { mkdtempSync, realpathSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { codeOf, messageOf, ProgramError } from '../../errors.ts'
import { executablePath } from '../../os/processes/executable-on-path.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import type { DaemonCommand } from '../../shield/daemon-process.ts'
import type { DaemonWords } from './options.ts'

/** The file that a command executes, as an absolute path. Throws ProgramError. */
export function executableOf({ words: [program = ''] }: DaemonWords, env: NodeJS.ProcessEnv): string {
  const file = executablePath(program, env.PATH ?? '')
  if (file === undefined)
    throw new ProgramError(`${program} does not exist or is not executable; name an executable file`, STATUS.failed)
  return file
}

/** The command that starts daemons, and the directory that its daemons are to mount at. Nothing is ever mounted there. */
export class Commands {
  #file: string
  #words: DaemonWords
  #current: DaemonCommand

  /** Makes a directory. Throws ProgramError. */
  constructor(file: string, words: DaemonWords) {
    this.#file = file
    this.#words = words
    this.#current = filled(file, words)
  }

  get current(): DaemonCommand {
    return this.#current
  }

  /** As they were given. */
  get words(): readonly string[] {
    return this.#words.words
  }

  /**
   * Has `act` do something with another command, or with the same one again, and a directory of its own. That becomes the current one if `act` succeeds. Rejects as `act` does, and
   * with ProgramError.
   */
  async replace<T>(
    next: { file: string; words: DaemonWords } | undefined,
    act: (command: DaemonCommand) => Promise<T>,
  ): Promise<T> {
    const { file, words } = next ?? { file: this.#file, words: this.#words }
    const command = filled(file, words)
    let unused = command.target
    try {
      const result = await act(command)
      unused = this.#current.target
      this.#file = file
      this.#words = words
      this.#current = command
      return result
    } finally {
      remove(unused)
    }
  }

  /** Removes the directory of the current command, whose daemon has ended. May be called twice. */
  removeTarget(): void {
    remove(this.#current.target)
  }
}

function filled(file: string, { words: [program = ''], args }: DaemonWords): DaemonCommand {
  const target = makeTarget()
  return { file, args: [program, ...args(target)], target }
}

/** Throws ProgramError. */
function makeTarget(): string {
  try {
    // Some daemons resolve it, and mount at what they have found.
    return mkdtempSync(join(realpathSync(tmpdir()), 'dummy-fuse-shield-'))
  } catch (error) {
    const advice = 'set TMPDIR to a folder that can be written to'
    throw new ProgramError(`cannot make a directory for the daemon: ${messageOf(error)}; ${advice}`, STATUS.failed, {
      cause: error,
    })
  }
}

/** A daemon may have removed it, or left something in it. */
function remove(target: string): void {
  try {
    rmdirSync(target)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTEMPTY') throw error
  }
}
