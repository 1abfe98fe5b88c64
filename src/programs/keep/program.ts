import { InvalidArgumentError, Option } from 'commander'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ProgramError } from '../../errors.ts'
import { Command } from '../../keeper/command.ts'
import { Keeper, type KeeperOptions } from '../../keeper/keeper.ts'
import { KeptSocket } from '../../keeper/kept-socket.ts'
import { isDescriptorName } from '../../sd/notify-message.ts'
import { ProcessTree } from '../../keeper/process-tree.ts'
import { descriptorSink, type LogFormat, Logger } from '../../log.ts'
import { AddonLoader } from '../../os/addons.ts'
import { becomeSubreaper } from '../../os/processes/child-processes.ts'
import { Launcher } from '../../os/processes/launcher.ts'
import { DescriptorWatch } from '../../os/descriptors/descriptor-watch.ts'
import { closeForeignDescriptors, openFilesLimit } from '../../os/descriptors/descriptors.ts'
import { Libc } from '../../os/libc.ts'
import { unblockSignal } from '../../os/processes/signal-mask.ts'
import { hasListener, socketPath } from '../../os/sockets/unix-socket.ts'
import { KEEP_LIMITS } from './limits.ts'
import { commandLine, logFormatOption, parse, seconds } from '../command-line.ts'
import { launcherImage } from '../launcher-image.ts'
import type { Program } from '../program.ts'

interface NamedSocket {
  readonly path: string
  readonly name: string
}

interface Parsed {
  socket: readonly NamedSocket[]
  storeMax: number
  watchdog?: number
  stopTimeout: number
  takeoverDeadline: number
  logFormat: LogFormat
}

/** Signals that mean the program, and that Node can catch. */
const FORWARDED: readonly NodeJS.Signals[] = [
  'SIGUSR1',
  'SIGUSR2',
  'SIGWINCH',
  'SIGQUIT',
  'SIGALRM',
  'SIGCONT',
  'SIGPWR',
  'SIGURG',
  'SIGIO',
]

/** What keep needs for itself, the descriptors of a message that is being read included. */
const OWN_DESCRIPTORS = 128

/** dummy-fuse-csi keep: a service manager for one program, where there is no systemd. */
export const keep: Program = async ({ args, env }) => {
  const { options, program } = parseKeep(args)
  const log = new Logger(descriptorSink(2), options.logFormat)
  // They would go on to the program, each time.
  closeForeignDescriptors()
  return await keepProgram({
    command: new Command(program, env),
    options: { ...options, restart: 'always' },
    hangUp: 'upgrade',
    log,
  })
}

/** What is kept, and how. */
export interface KeptProgram {
  readonly command: Command
  readonly options: Omit<Parsed, 'logFormat'> & Pick<KeeperOptions, 'restart'>
  /** What SIGHUP does. */
  readonly hangUp: 'upgrade' | 'stop'
  readonly log: Logger
  /** Called each time the program has said that it is ready. */
  readonly ready?: () => void
  /** The program ends for good when it resolves. */
  readonly stop?: Promise<unknown> | undefined
}

/** Runs a program and keeps its descriptors, until it has ended for good. Resolves to the exit status. Throws ProgramError. */
export async function keepProgram({ command, options, hangUp, log, ready, stop }: KeptProgram): Promise<number> {
  if (command.find() === undefined)
    throw new ProgramError(`${command.given} does not exist or is not executable; name an executable file`, 1)
  const libc = new Libc(new AddonLoader())
  becomeSubreaper(libc)
  const launcher = new Launcher(libc, launcherImage('keep'))
  const sockets: KeptSocket[] = []
  const context = { libc, tree: new ProcessTree(libc), watch: new DescriptorWatch(libc) }
  const storeMax = Math.min(options.storeMax, room())
  if (storeMax < options.storeMax) log.warning(`holds at most ${storeMax} descriptors: the limit of open files allows no more`)
  const { restart } = options
  const times = {
    watchdog: options.watchdog === undefined ? KEEP_LIMITS.watchdog : options.watchdog * 1000,
    watchedFrom: options.watchdog === undefined ? ('first sign' as const) : ('ready' as const),
    stopTimeout: options.stopTimeout * 1000,
    takeoverDeadline: options.takeoverDeadline * 1000,
    abortGrace: KEEP_LIMITS.abortGrace,
    stopped: KEEP_LIMITS.stopped,
    lastWait: KEEP_LIMITS.lastWait,
  }
  const keeper = new Keeper(command, launcher, sockets, context, { storeMax, restart, ready, ...times }, log)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => keeper.stop())
  stop?.then(
    () => keeper.stop(),
    () => keeper.stop(),
  )
  process.on('SIGHUP', () => {
    if (hangUp === 'stop') keeper.stop()
    else keeper.upgrade()
  })
  process.on('SIGCHLD', () => {
    context.tree.reapOrphans()
    keeper.childChanged()
  })
  for (const signal of FORWARDED) process.on(signal, () => keeper.forward(signal))
  unblockSignal(libc, 'SIGUSR1')
  try {
    for (const { path, name } of options.socket) {
      await predecessorEnds(path, log)
      sockets.push(await KeptSocket.open(libc, path, name, () => keeper.upgrade(), log))
    }
    return await keeper.run()
  } finally {
    for (const socket of sockets) socket[Symbol.dispose]()
    launcher.close()
  }
}

/** The program of a keep that was killed listens until it has ended. Resolves when nobody listens, or it has been waited for that long enough. */
async function predecessorEnds(path: string, log: Logger): Promise<void> {
  const { predecessor, predecessorPause } = KEEP_LIMITS
  const listened = async (): Promise<boolean> => await hasListener(path).catch(() => false)
  if (!(await listened())) return
  log.info(`another process listens on ${path}; waiting ${predecessor / 1000} s for it to end`)
  const end = performance.now() + predecessor
  while (performance.now() < end && (await listened())) await sleep(predecessorPause)
}

/** How many descriptors can be held: while a child of Node's puts them in their order it has two of each (libuv's spawn). */
function room(): number {
  return Math.max(0, Math.floor((openFilesLimit() - OWN_DESCRIPTORS) / 2))
}

function parseKeep(args: readonly string[]): { options: Parsed; program: readonly [string, ...string[]] } {
  const command = commandLine(
    'dummy-fuse-csi keep',
    'Runs a program, starts it again when it ends, and keeps its descriptors (sd_notify(3)).',
  )
    .addOption(
      new Option('--socket <path[,name=NAME]>', 'listen here for the program; may be given several times')
        .argParser(socket)
        .default([], 'none'),
    )
    .option('--store-max <number>', 'the most descriptors that are held', count, 4096)
    .option(
      '--watchdog <seconds>',
      `kill the program if it sends nothing for this time after READY=1; 0: never (default: ${KEEP_LIMITS.watchdog / 1000}, from its first WATCHDOG=1)`,
      seconds(),
    )
    .option('--stop-timeout <seconds>', 'kill the program if it has not ended this long after SIGTERM or SIGHUP', seconds(), 90)
    .option('--takeover-deadline <seconds>', 'close the descriptors if no successor is ready within this time', seconds(0.1), 60)
    .addOption(logFormatOption())
    .argument('<program>', 'its path, or a name that is looked up in PATH')
    .argument('[args...]', 'its arguments')
    .passThroughOptions()
    .addHelpText(
      'after',
      `
Signals: SIGTERM and SIGINT stop the program for good. SIGHUP ends it and starts the file that is at its path then. Others are passed on.
Exit status: the program's; 0 also if SIGTERM, SIGINT or SIGHUP ended it; 128 + N if another signal N ended it; 1 it could not be started;
2 usage error.`,
    )
  parse(command, args)
  const [program = '', ...rest] = command.args
  return { options: command.opts<Parsed>(), program: [program, ...rest] }
}

function socket(value: string, before: readonly NamedSocket[]): readonly NamedSocket[] {
  const [, endpoint = '', given] = /^(.*?)(?:,name=(.*))?$/s.exec(value) ?? []
  const path = socketPath(endpoint)
  const name = given ?? basename(path)
  if (!isDescriptorName(name)) throw new InvalidArgumentError('Its name is 1 to 255 characters of ASCII, with no colon.')
  if (before.some((one) => one.path === path)) throw new InvalidArgumentError('It is given twice.')
  return [...before, { path, name }]
}

function count(value: string): number {
  const number = /^\d{1,6}$/.test(value) ? Number(value) : NaN
  if (!(number <= 100_000)) throw new InvalidArgumentError('It is a number from 0 to 100000.')
  return number
}
