import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf, messageOf } from '../../errors.ts'
import { keyOf } from '../../hosts/program/records.ts'
import type { Shields } from '../../hosts/program/shields.ts'
import type { Logger } from '../../log.ts'
import type { Libc } from '../../os/libc.ts'
import { removeDirectories } from '../../os/mounts/directories.ts'
import { commandOf, type VolumeValues } from '../../program-file/command.ts'
import type { ProgramSpec } from '../../program-file/spec.ts'
import { escaped, has } from '../../program-file/template.ts'
import { forgetKilled, shieldAt } from '../../shield/control-folder.ts'
import { removeTarget } from '../../shield/daemon-target.ts'
import { losesWrites } from '../shield/options.ts'
import { whySilent } from '../shield-silence.ts'

/** Stands for the target in the words of a program until the shield's placeholder does: no word has it. */
const TARGET = '\0'

/** The shields of programs, whose daemons' directories are in a folder of the plugin's own. */
export class ProgramShields implements Shields {
  readonly #libc: Libc
  readonly #targets: string
  readonly #holder: string | undefined
  readonly #log: Logger

  /** `targets`: without symbolic links; it is made when it is needed. `holder`: the socket of a holder, which keeps the sessions too. */
  constructor(libc: Libc, targets: string, holder: string | undefined, log: Logger) {
    this.#libc = libc
    this.#targets = targets
    this.#holder = holder
    this.#log = log
  }

  /**
   * The words of a shield that runs a program for a volume, by this executable. `resumes`: it goes on with the session that the holder has. Throws UsageError as {@link commandOf}
   * does.
   */
  words(spec: ProgramSpec, values: VolumeValues, executable: string, resumes: boolean): readonly string[] {
    const [program = '', ...args] = commandOf(spec, { ...values, target: TARGET })
    const { stableInodes, giveUp } = spec.shield
    return [
      executable,
      ...['shield', '--nonempty', '--targets', join(this.#targets, keyOf(values.target))],
      ...(this.#holder === undefined ? [] : ['--holder', this.#holder]),
      ...(resumes ? ['--resume'] : []),
      ...(isReadOnly(spec) ? ['--read-only'] : []),
      ...(stableInodes ? ['--stable-inodes'] : []),
      ...(giveUp === undefined ? [] : ['--give-up', String(giveUp)]),
      ...[values.target, '--', program],
      ...args.map((word) => escaped(word).replaceAll(TARGET, '{target}')),
    ]
  }

  /** Removes what is left of shields of other paths than these, which ended with the machine. Never throws. */
  removeOthers(paths: readonly string[]): void {
    const keys = new Set(paths.map(keyOf))
    this.#attempt(this.#targets, () => {
      for (const key of namesIn(this.#targets).filter((one) => !keys.has(one))) removeTargets(join(this.#targets, key))
    })
  }

  async silence(path: string, time?: number): Promise<string> {
    return await whySilent(path, time)
  }

  forget(path: string): void {
    this.#attempt(path, () => {
      const found = shieldAt(path)
      if (found !== undefined) forgetKilled(this.#libc, found)
    })
    this.#attempt(path, () => removeTargets(join(this.#targets, keyOf(path))))
  }

  /** `where`: the path of the shield, or the folder of all. */
  #attempt(where: string, remove: () => void): void {
    try {
      remove()
    } catch (error) {
      this.#log.warning(`cannot remove what a shield has left (${where}): ${messageOf(error)}`)
    }
  }
}

/** Removes the directories that the daemons of one path were told to mount at, and their folder. Throws Node's error. */
function removeTargets(folder: string): void {
  for (const name of namesIn(folder)) removeTarget(join(folder, name))
  removeDirectories(folder, folder)
}

/** None if there is no such folder. Throws Node's error. */
function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}

/** Why the volumes of a program are read-only behind a shield although its file does not say so; undefined if they are not. */
export function readOnlyByDefault({ command, shield }: ProgramSpec): string | undefined {
  return shield.readOnly === undefined ? lossOf(command) : undefined
}

/** Why a program cannot run behind a shield, and what to change in its file; undefined if it can. */
export function shieldProblem({ name, command, start, keepSecrets, environment, files, shield }: ProgramSpec): string | undefined {
  const refused = (why: string): string => `${name} cannot be served with --fuse-host service: ${why}`
  if (start === 'background')
    return refused(
      'its file says start: background, and a shield has to see the program end; give command the option that keeps the program in the foreground (often -f), and leave out start',
    )
  if (keepSecrets === 'mounted')
    return refused('its file says keepSecrets: mounted, and a program that is started again needs its secrets; write staged')
  const placed = [
    ...[...environment].map(([key, text]) => [`environment.${key}`, text] as const),
    ...[...files].map(([key, text]) => [`files.${key}`, text] as const),
  ].find(([, text]) => has(text, 'target'))
  if (placed !== undefined)
    return refused(`its file has {target} in ${placed[0]}, and a shield replaces it in command alone; leave it out there`)
  const lost = shield.readOnly === false ? lossOf(command) : undefined
  return lost === undefined ? undefined : refused(`its file says shield.readOnly: false, and ${lost}; leave that out`)
}

function isReadOnly(spec: ProgramSpec): boolean {
  return spec.shield.readOnly ?? readOnlyByDefault(spec) !== undefined
}

/** Why a program must not be given anything to write; undefined if nothing is known against it. */
function lossOf([program = []]: ProgramSpec['command']): string | undefined {
  return losesWrites(program.map(String))
}
