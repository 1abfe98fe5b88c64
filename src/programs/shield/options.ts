import { basename } from 'node:path'
import { messageOf, UsageError } from '../../errors.ts'
import { fill, has, parseTemplate, type Template } from '../../program-file/template.ts'
import { socketPath } from '../../os/sockets/unix-socket.ts'
import { absolute } from '../absolute.ts'
import { commandLine, parse, seconds } from '../command-line.ts'

/** A command that mounts. */
export interface DaemonWords {
  /** As given, with the placeholders. The first one is a name that is looked up in PATH, or a path. */
  readonly words: readonly string[]
  /** The arguments behind the first word, by the directory that the daemon is to mount at. */
  readonly args: (target: string) => readonly string[]
}

/** What a call of shield asks for. */
export interface ShieldOptions {
  /** Absolute. */
  readonly mountpoint: string
  readonly command: DaemonWords
  readonly stableInodes: boolean
  readonly readOnly: boolean
  /** Whom daemons run as: a name, or UID:GID; undefined: as the shield does. */
  readonly user: string | undefined
  /** Milliseconds. */
  readonly giveUp: number
  /** There may be files in the mount point. */
  readonly nonempty: boolean
  /** The folder in which the daemons' own directories are made, an absolute path; undefined: $TMPDIR. */
  readonly targets: string | undefined
  /** The socket of a holder that is to keep the session, an absolute path; undefined: none. */
  readonly holder: string | undefined
  /** Go on with the session that the holder has, and mount nothing. */
  readonly resume: boolean
  readonly background: boolean
  /** An absolute path; undefined: syslog. */
  readonly logFile: string | undefined
}

interface Parsed {
  background?: true
  logFile?: string
  readOnly?: true
  stableInodes?: true
  nonempty?: true
  targets?: string
  holder?: string
  resume?: true
  user?: string
  giveUp: number
}

/**
 * Daemons that lose a write when they are killed: sshfs, s3fs and rclone answer it before it is stored, and a change by gocryptfs is several steps, of which a part
 * may be done.
 */
const LOSES_WRITES = ['sshfs', 's3fs', 'rclone', 'gocryptfs']

const MORE = `
Commands, which are the first word: shield status, shield stop and shield upgrade; each has its --help. A mount point of such a name is
written ./status.

{target} in COMMAND stands for the directory that the daemon is to mount at; {{ and }} are the braces themselves. The daemon has to stay
in the foreground (-f). The mount has the options that the daemon asks for.

A descriptor, a memory map and a working directory stay good when the daemon ends, however it ends. What was asked of it waits until the
next one serves. The promise is that of NFS across a restart of its server; an upgrade is exact. What is not restored: locks of the
daemon's own, an ioctl(2) or an exchange of names in flight (EIO), a removed directory that is in use (ESTALE). docs/shield.md has all.

  dummy-fuse-csi shield --read-only /mnt/photos -- sshfs nas:/photos {target} -f

Exit status: 0 unmounted, or stopped by SIGTERM, SIGINT or SIGHUP, or in the background: mounted; 1 the daemon ended before it had mounted; 2 usage error; 3 no mount
point; 4 not a directory; 5 not empty; 6 already mounted; 7 dead or hung mount there; 8 no /dev/fuse; 9 not root; 11 mount failed;
12 connection aborted, or no daemon came up again within --give-up; 13 out of memory, descriptors or another resource.`

/** Reads the arguments of shield. Throws UsageError. */
export function parseShieldOptions(args: readonly string[]): ShieldOptions {
  const command = commandLine(
    'dummy-fuse-csi shield',
    'Mounts the file system of any FUSE daemon, and starts the daemon again when it ends: its users do not notice.',
  )
    .usage('[options] MOUNTPOINT -- COMMAND... {target}')
    .argument('<mountpoint>', 'an empty directory, but for --nonempty')
    .option(
      '--read-only',
      `mount read-only; has to be given for ${LOSES_WRITES.join(', ')}, which may lose a write when they are killed`,
    )
    .option(
      '--stable-inodes',
      'the daemon gives a file the same inode number each time it is started: check it, and show it to readers. Without it the number is ours',
    )
    .option(
      '--user <user>',
      'run the daemon as this user (a name, or UID:GID) without capabilities, in a mount namespace of its own. Without it the daemon runs as root',
    )
    .option('--nonempty', 'mount over a directory that is not empty')
    .option('--targets <folder>', 'where the directory is made that {target} stands for; made if it is missing (default: $TMPDIR)')
    .option(
      '--holder <socket>',
      'have the session kept by dummy-fuse-csi holder too, which listens there in another container: it outlives this one',
    )
    .option('--resume', 'go on with the session that the holder has of an earlier container')
    .option('--background', 'return when the mount stands, and go on in the background')
    .option('--log-file <file>', 'file for messages in the background, instead of the journal or syslog')
    .option('--give-up <seconds>', 'end, and leave a dead mount, when no daemon has come up for this time', seconds(0.1), 300)
    .addHelpText('after', MORE)
  const [before, words] = cutAtCommand(args)
  parse(command, before)
  const {
    readOnly = false,
    stableInodes = false,
    user,
    giveUp,
    nonempty = false,
    targets,
    holder,
    resume = false,
    background = false,
    logFile,
  } = command.opts<Parsed>()
  const [mountpoint = ''] = command.args
  if (logFile !== undefined && !background)
    throw new UsageError('--log-file is for the background; give --background too, or redirect standard error')
  if (resume && holder === undefined)
    throw new UsageError('--resume takes the session from a holder; name its socket with --holder')
  const lost = readOnly ? undefined : losesWrites(words)
  if (lost !== undefined) throw new UsageError(`${lost}; give --read-only`)
  if (words.length === 0 || words[0] === '') throw new UsageError('there is no command; write it behind the mount point and --')
  if (mountpoint === '') throw new UsageError('the mount point is empty; name a directory')
  return {
    mountpoint: absolute(mountpoint),
    command: parseCommand(words),
    stableInodes,
    readOnly,
    user,
    giveUp: giveUp * 1000,
    nonempty,
    targets: targets === undefined ? undefined : absolute(targets),
    holder: holder === undefined ? undefined : socketPath(holder),
    resume,
    background,
    logFile: logFile === undefined ? undefined : absolute(logFile),
  }
}

/** The arguments before the first --, and the command behind it. */
export function cutAtCommand(args: readonly string[]): readonly [before: readonly string[], words: readonly string[]] {
  const separator = args.indexOf('--')
  return separator < 0 ? [args, []] : [args.slice(0, separator), args.slice(separator + 1)]
}

/** Reads the words of a command. Throws UsageError. */
export function parseCommand(words: readonly string[]): DaemonWords {
  const templates = words.slice(1).map(templateOf)
  if (!templates.some((template) => has(template, 'target')))
    throw new UsageError('no argument of the command has {target}; write it where the daemon takes its mount point')
  return { words, args: (target) => templates.map((template) => fill(template, () => target)) }
}

/** Why a command must not be given anything to write; undefined if nothing is known against it. */
export function losesWrites([program = '']: readonly string[]): string | undefined {
  const name = basename(program)
  return LOSES_WRITES.includes(name) ? `${name} may lose a write when it is killed, also one that it has answered` : undefined
}

function templateOf(word: string): Template {
  try {
    return parseTemplate(word, { target: [] })
  } catch (error) {
    throw new UsageError(`the command's argument ${messageOf(error)}`)
  }
}
