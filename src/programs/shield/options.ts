import { basename } from 'node:path'
import { messageOf, UsageError } from '../../errors.ts'
import { fill, has, parseTemplate, type Template } from '../../program-file/template.ts'
import { absolute } from '../absolute.ts'
import { commandLine, parse, seconds } from '../command-line.ts'

/** What a call of shield asks for. */
export interface ShieldOptions {
  /** Absolute. */
  readonly mountpoint: string
  /** A name that is looked up in PATH, or a path. */
  readonly program: string
  /** The program's arguments, by the directory that it is to mount at. */
  readonly args: (target: string) => readonly string[]
  readonly stableInodes: boolean
  readonly readOnly: boolean
  /** Milliseconds. */
  readonly giveUp: number
}

interface Parsed {
  readOnly?: true
  stableInodes?: true
  giveUp: number
}

/**
 * Daemons that lose a write when they are killed: sshfs, s3fs and rclone answer it before it is stored, and a change by gocryptfs is several steps, of which a part
 * may be done.
 */
const LOSES_WRITES = ['sshfs', 's3fs', 'rclone', 'gocryptfs']

const MORE = `
{target} in COMMAND stands for the directory that the daemon is to mount at; {{ and }} are the braces themselves. The daemon has to stay
in the foreground (-f). The mount has the options that the daemon asks for.

A descriptor, a memory map and a working directory stay good when the daemon ends, however it ends. What was asked of it waits until the
next one serves. docs/shield.md says what is not restored.

  dummy-fuse-csi shield --read-only /mnt/photos -- sshfs nas:/photos {target} -f

Exit status: 0 unmounted, or stopped by SIGTERM, SIGINT or SIGHUP; 1 the daemon ended before it had mounted; 2 usage error; 3 no mount
point; 4 not a directory; 5 not empty; 6 already mounted; 7 dead or hung mount there; 8 no /dev/fuse; 9 not root; 11 mount failed;
12 connection aborted, or no daemon came up again within --give-up; 13 out of memory, descriptors or another resource.`

/** Reads the arguments of shield. Throws UsageError. */
export function parseShieldOptions(args: readonly string[]): ShieldOptions {
  const command = commandLine(
    'dummy-fuse-csi shield',
    'Mounts the file system of any FUSE daemon, and starts the daemon again when it ends: its users do not notice.',
  )
    .usage('[options] MOUNTPOINT -- COMMAND... {target}')
    .argument('<mountpoint>', 'an empty directory')
    .option(
      '--read-only',
      `mount read-only; has to be given for ${LOSES_WRITES.join(', ')}, which may lose a write when they are killed`,
    )
    .option(
      '--stable-inodes',
      'the daemon gives a file the same inode number each time it is started: check it, and show it to readers. Without it the number is ours',
    )
    .option('--give-up <seconds>', 'end, and leave a dead mount, when no daemon has come up for this time', seconds(0.1), 300)
    .addHelpText('after', MORE)
  const separator = args.indexOf('--')
  parse(command, separator < 0 ? args : args.slice(0, separator))
  const { readOnly = false, stableInodes = false, giveUp } = command.opts<Parsed>()
  const [mountpoint = ''] = command.args
  const [program = '', ...words] = separator < 0 ? [] : args.slice(separator + 1)
  if (!readOnly && LOSES_WRITES.includes(basename(program)))
    throw new UsageError(`${basename(program)} may lose a write when it is killed, also one that it has answered; give --read-only`)
  if (program === '') throw new UsageError('there is no command; write it behind the mount point and --')
  if (mountpoint === '') throw new UsageError('the mount point is empty; name a directory')
  const templates = words.map(templateOf)
  if (!templates.some((template) => has(template, 'target')))
    throw new UsageError('no argument of the command has {target}; write it where the daemon takes its mount point')
  return {
    mountpoint: absolute(mountpoint),
    program,
    args: (target) => templates.map((template) => fill(template, () => target)),
    stableInodes,
    readOnly,
    giveUp: giveUp * 1000,
  }
}

function templateOf(word: string): Template {
  try {
    return parseTemplate(word, { target: [] })
  } catch (error) {
    throw new UsageError(`the command's argument ${messageOf(error)}`)
  }
}
