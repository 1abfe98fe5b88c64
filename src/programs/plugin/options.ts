import { availableParallelism, hostname } from 'node:os'
import { join } from 'node:path'
import { Option } from 'commander'
import { UsageError } from '../../errors.ts'
import type { LogFormat } from '../../log.ts'
import { sharedDaemonPaths } from '../../hosts/shared-daemon-paths.ts'
import { MOST_SOCKETS, socketName } from '../../kubelet/socket-name.ts'
import type { MetricsAddress } from '../../metrics/metrics-endpoint.ts'
import { LONGEST_SOCKET_PATH, socketPath } from '../../os/sockets/unix-socket.ts'
import { absolute } from '../absolute.ts'
import { commandLine, count, logFormatOption, metricsAddressOption, parse, repeated, seconds } from '../command-line.ts'
import { requireDriverName } from '../driver-name.ts'
import { parseFaults } from '../dummy-fuse/faults.ts'
import { FUSED_SOCKET } from '../fused/early-options.ts'
import { CALL_DEADLINE } from './limits.ts'
import type { RestoreMode } from '../../volumes/publisher.ts'
import { backendOption, type FuseBackend } from '../session-options.ts'

const ROLES = ['identity', 'node', 'controller'] as const

type Role = (typeof ROLES)[number]

/** What the FUSE sessions of a plugin end with. */
export type FuseHostName = 'child' | 'detached' | 'service'

/** What a call of serve asks for. */
export interface PluginOptions {
  /** The socket's path. */
  readonly socket: string
  readonly driverName: string
  readonly nodeId: string
  readonly roles: ReadonlySet<Role>
  readonly stateDir: string
  /** Where inline ephemeral volumes are staged; undefined: the folder `ephemeral` of the state folder. */
  readonly ephemeralDir: string | undefined
  /** Volumes are mounted below one of these alone; anywhere if there is none. */
  readonly allowedRoots: readonly string[]
  /** Whether the volumes of the mount cache are mounted again at start. */
  readonly restoreMounts: boolean
  /** How a target whose mount is dead is mounted again, at start and by a call. */
  readonly restoreMode: RestoreMode
  readonly fuseHost: FuseHostName
  /** For `child` and `detached`: a dummy-fuse for each volume, or one dummy-fused for all. */
  readonly daemons: 'per-volume' | 'shared'
  readonly fusedSocket: string
  readonly fuseBackend: FuseBackend
  readonly logFormat: LogFormat
  readonly daemonize: 'wait' | 'early'
  /** The file of the program that serves volumes in place of dummy-fuse; undefined for dummy-fuse. */
  readonly program: string | undefined
  /** Whether the program's file and the machine are only checked. */
  readonly check: boolean
  /** A folder in memory for the secrets of a program's volumes; undefined: the folder `secrets` of the state folder. */
  readonly secretsDir: string | undefined
  /** The socket of a holder, which keeps the sessions of shields while this container is replaced; undefined: none. */
  readonly holder: string | undefined
  /** Milliseconds that each call has. */
  readonly callDeadline: number
  /** Daemons that start at the same time, at the most. */
  readonly startsAtOnce: number
  /** The values of --inject, checked. */
  readonly faults: readonly string[]
  /** Where metrics are served; undefined if they are not. */
  readonly metricsAddress: MetricsAddress | undefined
  /** How the plugin registers itself with the kubelet; undefined if it does not. */
  readonly registration: { readonly folder: string; readonly endpoint: string } | undefined
}

interface Parsed {
  endpoint: string
  drivername: string
  nodeid: string
  role: ReadonlySet<Role>
  stateDir: string
  ephemeralDir?: string
  allowedRoot: string[]
  restoreMounts: RestoreMode | false
  fuseHost: PluginOptions['fuseHost']
  daemons: PluginOptions['daemons']
  fusedSocket: string
  fuseBackend: FuseBackend
  logFormat: LogFormat
  daemonize: PluginOptions['daemonize']
  program?: string
  check?: true
  secretsDir?: string
  holder?: string
  callDeadline: number
  startsAtOnce: number
  inject: string[]
  kubeletRegistrationDir?: string
  kubeletRegistrationPath?: string
  metricsAddress?: MetricsAddress
}

/**
 * What `--restore-mounts` and `--no-restore-mounts` do with the dead mount of a target. Only pods can have what stack is for, and it leaves a dead mount at each
 * target: the chart has stack (docs/restoring.md).
 */
const DEFAULT_RESTORE_MODE: RestoreMode = 'replace'

const EXIT_STATUSES =
  '\nExit status: 0 stopped by SIGTERM or SIGINT; 1 failed, for example because the socket is in use; 2 usage error.'

/** Reads the arguments of serve. Throws UsageError. */
export function parsePluginOptions(args: readonly string[], env: NodeJS.ProcessEnv): PluginOptions {
  const endpoint = env.CSI_ENDPOINT ?? 'unix:///run/dummy-fuse-csi/csi.sock'
  const command = commandLine('dummy-fuse-csi serve', 'Serves CSI 1.13.0 on a unix socket.')
    .option('--endpoint <endpoint>', 'the socket to serve on; $CSI_ENDPOINT', endpoint)
    .option('--drivername <name>', "the plugin's name", 'dummy-fuse-csi')
    .option('--nodeid <id>', "the node's id", hostname())
    .addOption(
      new Option('--role <roles>', 'services to serve, of identity,node,controller')
        .argParser(parseRoles)
        .default(parseRoles('identity,node'), 'identity,node'),
    )
    .option(
      '--state-dir <folder>',
      "folder of the mount cache and of the Controller's records; $STATE_DIRECTORY",
      env.STATE_DIRECTORY ?? '/var/lib/dummy-fuse-csi',
    )
    .addOption(
      new Option('--allowed-root <folder>', 'mount volumes below this folder only; may be given several times')
        .argParser(repeated)
        .default([], 'anywhere'),
    )
    .option(
      '--ephemeral-dir <folder>',
      'where inline ephemeral volumes are staged (default: the folder ephemeral in the state folder); dummy-fused of --fuse-host service mounts there too',
    )
    .addOption(
      new Option(
        '--restore-mounts [mode]',
        'mount the volumes of the mount cache again at start. mode: replace, unmount the dead mount of a target; stack, bind the new session on top of it, so that it reaches the consumers that have mountPropagation HostToContainer',
      )
        .choices(['replace', 'stack'])
        .preset(DEFAULT_RESTORE_MODE)
        .default(DEFAULT_RESTORE_MODE),
    )
    .option('--no-restore-mounts', `do not mount them again at start; calls do it by ${DEFAULT_RESTORE_MODE}`)
    .addOption(
      new Option(
        '--fuse-host <host>',
        'what FUSE sessions end with: child, with the plugin; detached, with their daemon; service: they survive a crash and an upgrade of both',
      )
        .choices(['child', 'detached', 'service'])
        .default('child'),
    )
    .addOption(
      new Option(
        '--daemons <which>',
        'how many daemons child and detached have: per-volume, one for each volume; shared, one for all of them',
      )
        .choices(['per-volume', 'shared'])
        .default('per-volume'),
    )
    .option(
      '--program <file>',
      'serve volumes by the FUSE program that this file describes, in place of dummy-fuse; with --fuse-host service each behind a shield',
    )
    .option('--check', 'check the file of --program and this machine, say what is missing, and end')
    .option(
      '--secrets-dir <folder>',
      'where the secrets of volumes of --program are kept in memory (default: the folder secrets in the state folder); a tmpfs is mounted there unless it is on one',
    )
    .option(
      '--holder <socket>',
      'for --program with --fuse-host service in a container: have dummy-fuse-csi holder keep the sessions while the container is replaced',
    )
    .option(
      '--kubelet-registration-dir <folder>',
      "register with the kubelet without a registrar: the kubelet's folder plugins_registry, in which the plugin makes a socket",
    )
    .option(
      '--kubelet-registration-path <path>',
      "the plugin's socket as the kubelet sees it, if its path differs from that of --endpoint",
    )
    .addOption(metricsAddressOption())
    .option('--fused-socket <path>', 'socket of dummy-fused, for --fuse-host service without --program', FUSED_SOCKET)
    .addOption(backendOption('--fuse-backend <backend>'))
    .addOption(logFormatOption())
    .option(
      '--call-deadline <seconds>',
      'time that each call has; a sooner deadline of its client counts',
      seconds(CALL_DEADLINE.least, CALL_DEADLINE.most),
      CALL_DEADLINE.standard,
    )
    .addOption(
      new Option('--starts-at-once <number>', 'how many daemons start at the same time; the others wait in a queue')
        .argParser(count(9999))
        .default(availableParallelism(), 'one for each processor'),
    )
    .addOption(
      new Option('--daemonize <how>', 'early: accept daemons that return before they have mounted (a deliberate flaw, for the lab)')
        .choices(['wait', 'early'])
        .default('wait'),
    )
    .addOption(
      new Option('--inject <fault>', 'make every daemon fail: mount-delay=S, mount-fail, read-delay=S, init-hang')
        .argParser(repeated)
        .default([], ''),
    )
    .addHelpText('after', EXIT_STATUSES)
  parse(command, args)
  const parsed = command.opts<Parsed>()
  parseFaults(parsed.inject)
  if (parsed.fuseHost === 'service') refuseUnserved(parsed)
  if (parsed.daemons === 'shared') refuseUnshared(parsed)
  refuseUnhosted(parsed)
  if (parsed.nodeid === '') throw new UsageError('--nodeid is empty; name this node')
  if (Buffer.byteLength(parsed.nodeid) > 256) throw new UsageError('--nodeid is longer than the 256 bytes that CSI allows')
  requireDriverName(parsed.drivername)
  return {
    socket: socketPath(parsed.endpoint),
    driverName: parsed.drivername,
    nodeId: parsed.nodeid,
    roles: parsed.role,
    stateDir: absolute(parsed.stateDir),
    ephemeralDir: parsed.ephemeralDir === undefined ? undefined : absolute(parsed.ephemeralDir),
    allowedRoots: parsed.allowedRoot.map(absolute),
    restoreMounts: parsed.restoreMounts !== false,
    restoreMode: parsed.restoreMounts === false ? DEFAULT_RESTORE_MODE : parsed.restoreMounts,
    fuseHost: parsed.fuseHost,
    daemons: parsed.daemons,
    fusedSocket: socketPath(parsed.fusedSocket),
    fuseBackend: parsed.fuseBackend,
    logFormat: parsed.logFormat,
    daemonize: parsed.daemonize,
    program: parsed.program === undefined ? undefined : absolute(parsed.program),
    check: parsed.check ?? false,
    secretsDir: parsed.secretsDir === undefined ? undefined : absolute(parsed.secretsDir),
    holder: parsed.holder === undefined ? undefined : socketPath(parsed.holder),
    callDeadline: parsed.callDeadline * 1000,
    startsAtOnce: parsed.startsAtOnce,
    faults: parsed.inject,
    metricsAddress: parsed.metricsAddress,
    registration: registrationOf(parsed),
  }
}

function registrationOf({
  kubeletRegistrationDir,
  kubeletRegistrationPath,
  endpoint,
  drivername,
  role,
}: Parsed): PluginOptions['registration'] {
  if (kubeletRegistrationDir === undefined) {
    if (kubeletRegistrationPath === undefined) return undefined
    throw new UsageError('--kubelet-registration-path does nothing without --kubelet-registration-dir; name that folder too')
  }
  if (!role.has('node'))
    throw new UsageError(
      '--kubelet-registration-dir is for a plugin that serves the Node service; add node to --role, or leave the folder out',
    )
  const folder = absolute(kubeletRegistrationDir)
  const longest = join(folder, socketName(drivername, MOST_SOCKETS))
  if (Buffer.byteLength(longest) > LONGEST_SOCKET_PATH)
    throw new UsageError(
      `--kubelet-registration-dir would have sockets such as ${longest}, which is longer than the ${LONGEST_SOCKET_PATH} bytes of a socket's path; mount the folder at a shorter path`,
    )
  return { folder, endpoint: socketPath(kubeletRegistrationPath ?? endpoint) }
}

/** What dummy-fused does not do. */
function refuseUnserved({ fuseBackend, daemonize }: Parsed): void {
  if (fuseBackend !== 'session') throw new UsageError('--fuse-host service serves by sessions of its own; leave out --fuse-backend')
  if (daemonize !== 'wait')
    throw new UsageError('--daemonize early is a flaw of processes in the background; --fuse-host service has none')
}

/** What does not go with a program, and what goes with one alone. */
function refuseUnhosted({ program, check, secretsDir, holder, fuseHost, daemons, fuseBackend, daemonize, inject }: Parsed): void {
  if (holder !== undefined && (program === undefined || fuseHost !== 'service'))
    throw new UsageError('--holder keeps the sessions of --program with --fuse-host service; leave it out')
  if (program === undefined) {
    if (check === true) throw new UsageError('--check checks the file of --program; name one')
    if (secretsDir !== undefined) throw new UsageError('--secrets-dir is for the volumes of --program; leave it out')
    return
  }
  if (daemons === 'shared')
    throw new UsageError('--daemons shared cannot serve by --program: a program serves one volume; leave out --daemons')
  if (fuseBackend !== 'session')
    throw new UsageError('--fuse-backend is of dummy-fuse, and --program is served by another; leave it out')
  if (daemonize !== 'wait') throw new UsageError('--daemonize early is a flaw for dummy-fuse; leave it out with --program')
  if (inject.length > 0) throw new UsageError('--inject has daemons of dummy-fuse fail; leave it out with --program')
}

/** What goes with one daemon for each volume alone. */
function refuseUnshared({ fuseHost, fuseBackend, daemonize, stateDir }: Parsed): void {
  if (fuseHost === 'service')
    throw new UsageError(
      '--daemons shared is for --fuse-host child and detached; --fuse-host service has one daemon already, leave out --daemons',
    )
  if (fuseBackend !== 'session')
    throw new UsageError('--daemons shared serves by sessions of its own; leave out --fuse-backend, or use --daemons per-volume')
  if (daemonize !== 'wait') throw new UsageError('--daemonize early is a flaw of daemons of one volume; use --daemons per-volume')
  const { socket } = sharedDaemonPaths(absolute(stateDir))
  if (Buffer.byteLength(socket) > LONGEST_SOCKET_PATH)
    throw new UsageError(
      `--daemons shared has its socket at ${socket}, which is longer than the ${LONGEST_SOCKET_PATH} bytes of a socket's path; name a shorter --state-dir`,
    )
}

function parseRoles(text: string): ReadonlySet<Role> {
  const roles = text.split(',').map((word) => {
    const role = ROLES.find((known) => known === word)
    if (role === undefined) throw new UsageError(`--role: no role '${word}'; there are ${ROLES.join(', ')}`)
    return role
  })
  if (!roles.includes('identity')) throw new UsageError('--role: every plugin serves identity; add it')
  return new Set(roles)
}
