import { Option } from 'commander'
import { UsageError } from '../../errors.ts'
import { refuseUnknownToLibfuse } from '../../fuse/native/options.ts'
import { checkTogether, escapeValue, parseMountOptions } from '../../fuse/mount-option-rules.ts'
import { absolute } from '../absolute.ts'
import { commandLine, parse, seconds } from '../command-line.ts'
import { backendOption, type FuseBackend, pollTimeOption } from '../session-options.ts'
import { type Faults, parseFaults } from './faults.ts'

/** What a call of dummy-fuse asks for. */
export interface FuseOptions {
  /** Absolute. */
  readonly mountpoint: string
  readonly foreground: boolean
  readonly debug: boolean
  readonly mountOptions: readonly string[]
  readonly daemonize: 'wait' | 'early'
  /** Seconds. */
  readonly initTimeout: number
  readonly logFile: string | undefined
  readonly faults: Faults
  /** {@link faults} as they were given. */
  readonly faultArgs: readonly string[]
  readonly dieWithParent: boolean
  readonly backend: FuseBackend
  /** Milliseconds. */
  readonly pollTime: number
}

interface Parsed {
  foreground?: true
  debug?: true
  option: string[]
  daemonize: 'wait' | 'early'
  initTimeout: number
  logFile?: string
  inject: string[]
  dieWithParent?: true
  backend: FuseBackend
  pollTime: number
}

const EXIT_STATUSES = `
Exit status: 0 mounted (with -f: unmounted, or stopped by a signal); 1 failed; 2 usage error; 3 no mount point; 4 not a directory;
5 not empty; 6 already mounted; 7 dead or hung mount there; 8 no /dev/fuse; 9 not root; 10 INIT timed out; 11 mount failed;
12 connection aborted; 13 out of memory, descriptors or another resource; 128+N daemon killed by signal N.`

/** Reads the arguments of dummy-fuse. Throws UsageError. */
export function parseFuseOptions(args: readonly string[]): FuseOptions {
  const collect = (value: string, all: string[]): string[] => [...all, value]
  const command = commandLine(
    'dummy-fuse',
    'Serves the dummy file system at one mount point, in the background unless -f or -d is given.',
  )
    .usage('[options] [source] mountpoint')
    .argument(
      '<mountpoint...>',
      'an empty directory; before it the source that the mount table shows, as mount.fuse3(8) passes both',
    )
    .option('-f, --foreground', 'stay in the foreground; exit with 0 on unmount, SIGTERM, SIGINT and SIGHUP')
    .option('-d, --debug', 'stay in the foreground and print each request and its reply')
    .option('-s', 'single-threaded: accepted for compatibility; the file system always is')
    .addOption(
      new Option(
        '-o, --option <opt,...>',
        'mount options; writable: a file system in memory that can be written to, of size=N bytes (64m): all is lost when the daemon ends',
      )
        .argParser(collect)
        .default([], ''),
    )
    .addOption(backendOption('--backend <name>'))
    .addOption(pollTimeOption())
    .addOption(
      new Option('--daemonize <how>', 'wait: return when INIT is handled; early: return at once (a deliberate flaw)')
        .choices(['wait', 'early'])
        .default('wait'),
    )
    .option('--init-timeout <seconds>', 'fail if INIT is not handled within this time', seconds(0.001), 10)
    .option('--log-file <file>', 'file for messages in the background, instead of the journal or syslog')
    .addOption(
      new Option('--inject <fault>', 'fail on purpose: mount-delay=S, mount-fail, read-delay=S, init-hang')
        .argParser(collect)
        .default([], ''),
    )
    .option('--die-with-parent', 'with -f: get SIGKILL from the kernel when the parent process ends')
    .addHelpText('after', EXIT_STATUSES)
  parse(command, args)
  const parsed = command.opts<Parsed>()
  const { source, mountpoint } = places(command.args)
  if (mountpoint === '') throw new UsageError('the mount point is empty; name a directory')
  const given = [...source, ...parsed.option].flatMap(parseMountOptions)
  // As libfuse has it, -o debug is -d.
  const debug = (parsed.debug ?? false) || given.includes('debug')
  checkTogether(given)
  if (parsed.backend === 'fuse-native') refuseUnknownToLibfuse(given)
  return {
    mountpoint: absolute(mountpoint),
    foreground: (parsed.foreground ?? false) || debug,
    debug,
    mountOptions: given.filter((option) => option !== 'debug'),
    daemonize: parsed.daemonize,
    initTimeout: parsed.initTimeout,
    logFile: parsed.logFile === undefined ? undefined : absolute(parsed.logFile),
    faults: parseFaults(parsed.inject),
    faultArgs: parsed.inject,
    dieWithParent: parsed.dieWithParent ?? false,
    backend: parsed.backend,
    pollTime: parsed.pollTime,
  }
}

/** What stands beside the options: `[source] mountpoint`, and behind both the two numbers of a line of /etc/fstab. */
function places(args: readonly string[]): { readonly source: readonly string[]; readonly mountpoint: string } {
  const [first = '', second, ...numbers] = args
  if (second === undefined) return { source: [], mountpoint: first }
  if (numbers.length > 2 || !numbers.every((word) => /^\d+$/.test(word)))
    throw new UsageError(`too many arguments: ${args.join(' ')}; name a mount point, and before it a source if there is one`)
  return { source: first === '' ? [] : [`fsname=${escapeValue(first)}`], mountpoint: second }
}
