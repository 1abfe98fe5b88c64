import { constants } from 'node:os'
import { codeOf, errnoText, messageOf, ProgramError, UsageError } from '../../errors.ts'
import { AddonLoader } from '../../os/addons.ts'
import { Libc } from '../../os/libc.ts'
import { openMountTable } from '../../os/mounts/mount-table.ts'
import { ChildProgram } from '../../os/processes/child-program.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { Launcher } from '../../os/processes/launcher.ts'
import { requireProc } from '../../os/processes/proc.ts'
import { oneLine } from '../../printable.ts'
import { escaped } from '../../program-file/template.ts'
import { mountPointOf } from '../../shield/mount-point-search.ts'
import { launcherImage } from '../launcher-image.ts'
import type { Program } from '../program.ts'
import { SHIELD_LIMITS } from '../shield/limits.ts'
import { losesWrites } from '../shield/options.ts'
import { shield } from '../shield/program.ts'
import { DAEMON_STOPPING } from '../stop-signal.ts'
import { directoriesIn, type NamedDirectory } from './directories.ts'
import { habitsOf, wordsOf } from './habits.ts'
import { SHIELDED } from './name.ts'
import { realProgram } from './real-program.ts'

/** A word by which sshfs and others are to read a password from their standard input. */
const ASKS_INPUT = /(^(-o)?|,)password_stdin(,|$)/

/** Has options of shield, parted by blanks. */
const OPTIONS = 'DUMMY_FUSE_SHIELD_OPTIONS'

/**
 * dummy-fuse-csi-shielded-NAME, a link that stands in the place of the FUSE program NAME: has the real NAME mount behind a shield, in the foreground or the background as NAME
 * is asked to. A call that mounts nothing is passed on to the real NAME as it is. The arguments are NAME and its own ones.
 */
export const shielded: Program = async (context) => {
  const { args, env } = context
  const [name = '', ...words] = args
  if (name === '') throw new UsageError(`there is no program; this is called by a link ${SHIELDED}NAME (docs/shield.md)`)
  const habits = habitsOf(name, env)
  const file = realProgram(name, env)
  requireProc()
  const libc = new Libc(new AddonLoader())
  const directories = habits.mounts(words) ? await directoriesIn(words, openMountTable(libc)) : []
  const [only, ...others] = directories
  if (only === undefined) return await passOn(file, name, words)
  if (words.some((word) => ASKS_INPUT.test(word)))
    throw new UsageError(
      `${name} is to read a password from its standard input, which nobody writes again when it is started again; give it a key or a file`,
    )
  // A service manager of the caller's keeps nothing of ours.
  for (const variable of ['NOTIFY_SOCKET', 'FDSTORE']) Reflect.deleteProperty(env, variable)
  const options = optionsOf(env)
  const lost = losesWrites([name])
  if (lost !== undefined) process.stderr.write(`${SHIELDED}${name}: the mount is read-only: ${lost}\n`)
  const { index, given } =
    others.length === 0 ? only : await mountPointAmong(directories, { libc, file, args: [file, ...habits.staying(words)] })
  const command = words.map((word, at) => (at === index ? '{target}' : escaped(word)))
  const own = [...(habits.stays(words) ? [] : ['--background']), ...(lost === undefined ? [] : ['--read-only'])]
  return await shield({ ...context, args: [...own, ...options, given, '--', file, ...habits.staying(command)] })
}

/** Throws UsageError. */
function optionsOf(env: NodeJS.ProcessEnv): readonly string[] {
  const options = wordsOf(env[OPTIONS] ?? '')
  if (options.includes('--') || options[0]?.startsWith('-') === false)
    throw new UsageError(`${OPTIONS} is '${env[OPTIONS]}'; it has options of shield alone, such as --stable-inodes`)
  return options
}

/** The mount point among several directories: the program is started once, and killed when it is about to mount. Throws ProgramError. */
async function mountPointAmong(
  directories: readonly NamedDirectory[],
  { libc, file, args }: { readonly libc: Libc; readonly file: string; readonly args: readonly string[] },
): Promise<NamedDirectory> {
  const launcher = new Launcher(libc, launcherImage('shield'))
  try {
    const target = await mountPointOf({ libc, launcher }, { file, args }, SHIELD_LIMITS)
    const directory = directories.find(({ given, path }) => given === target || path === target)
    if (directory !== undefined) return directory
    throw new ProgramError(`${file} mounts at ${target}, which none of its arguments names; it cannot be shielded`, STATUS.failed)
  } catch (error) {
    if (error instanceof ProgramError) throw error
    throw new ProgramError(messageOf(error), STATUS.failed, { cause: error })
  } finally {
    launcher.close()
  }
}

/** Runs a program in the place of this process, as far as its caller can tell. Resolves to its exit status. Throws ProgramError. */
async function passOn(file: string, argv0: string, args: readonly string[]): Promise<number> {
  const child = new ChildProgram({ file, argv0, args, stdio: 'inherit' })
  for (const signal of DAEMON_STOPPING) process.on(signal, () => child.signal(signal))
  try {
    const { status, signal } = await child.ended
    return status ?? 128 + constants.signals[signal ?? 'SIGKILL']
  } catch (error) {
    throw new ProgramError(
      `${file} cannot be executed: ${oneLine(errnoText(codeOf(error) ?? messageOf(error)))}; repair it`,
      STATUS.failed,
      {
        cause: error,
      },
    )
  }
}
