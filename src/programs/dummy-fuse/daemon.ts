import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, errnoMeaning, messageOf, ProgramError, withRemedy } from '../../errors.ts'
import type { Backend, Session, SessionEnd } from '../../fuse/backend.ts'
import { DEFAULT_OPTIONS } from '../../fuse/mount-option-rules.ts'
import { descriptorSink, Logger, type LogSink } from '../../log.ts'
import { detachUnless } from '../../os/mounts/leftover.ts'
import type { Libc } from '../../os/libc.ts'
import { deviceAt, openMountTable } from '../../os/mounts/mount-table.ts'
import { syslogSink } from '../../os/syslog.ts'
import { backgroundSink, openLogFile } from '../background-log.ts'
import type { StarterChannel } from './channel.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { DUMMY_FUSE_LIMITS } from './limits.ts'
import type { FuseOptions } from './options.ts'
import { NONEMPTY, preflight } from './preflight.ts'
import { EndSignals } from './signals.ts'

/** What a daemon needs from outside. */
export interface DaemonContext {
  readonly libc: () => Libc
  /** Where the process that started this one waits for its word; none for a daemon started by hand with -f. */
  readonly channel: StarterChannel | undefined
}

/** What came of one mount. */
export interface Served {
  /** The exit status that says so. */
  readonly status: number
  /** Nothing of it is left in this process, which can serve another. */
  readonly clean: boolean
}

type Ending = { readonly kind: 'signal'; readonly signal: NodeJS.Signals } | { readonly kind: 'session'; readonly end: SessionEnd }

interface Mounted {
  readonly session: Session
  readonly backend: Backend
}

/** What can come before the mount stands. */
type Interruption = Ending | { readonly kind: 'timeout' } | { readonly kind: 'lost' }

/** Mounts and serves until it is unmounted or stopped by a signal. Throws ProgramError if it cannot mount. */
export async function serve(options: FuseOptions, context: DaemonContext): Promise<Served> {
  if (options.dieWithParent) context.libc().setParentDeathSignal('SIGKILL')
  using signals = new EndSignals(options.dieWithParent)
  const stop = stopRequested(signals)
  const { channel } = context
  const { promise: lost, resolve } = Promise.withResolvers<Interruption>()
  // A mount that nobody waits for must not appear.
  using _watch = channel?.onLost(() => {
    resolve({ kind: 'lost' })
  })
  const timeout = channel === undefined ? [timeoutAfter(options.initTimeout)] : []
  const interrupted: Promise<Interruption> = Promise.race([stop, lost, ...timeout])

  // A plugin has looked at the path, and mounts over what is there, as the kubelet's other plugins do.
  const ordered = options.foreground && channel !== undefined
  const allowed = {
    nonempty: ordered || options.mountOptions.includes('nonempty'),
    nonemptyOption: NONEMPTY,
    links: ordered ? 'refuse' : 'follow',
  } as const
  const mountpoint = await preflight(options.mountpoint, allowed, () => openMountTable(context.libc()))
  const logFile = inBackground(options, context) && options.logFile !== undefined ? openLogFile(options.logFile) : undefined
  if (inBackground(options, context)) process.chdir('/')
  const table = openMountTable(context.libc())
  const before = deviceAt(table, mountpoint)
  await channel?.say('mounting')
  const delayed = await Promise.race([sleep(options.faults.mountDelay * 1000), interrupted])
  if (delayed !== undefined) return interruptedStatus(delayed, mountpoint, options)
  if (deviceAt(table, mountpoint) !== before)
    throw new ProgramError(`${mountpoint}: another process has mounted there; umount ${mountpoint} first`, STATUS.alreadyMounted)
  const given = new AbortController()
  const mounting = mount(mountpoint, options, context, given.signal)
  const mounted = await Promise.race([mounting, interrupted])
  if ('kind' in mounted) {
    // No further step of the mount begins.
    given.abort()
    await Promise.race([mounting.catch(() => undefined), sleep(DUMMY_FUSE_LIMITS.giveUp, undefined, { ref: false })])
    detachUnless(context.libc(), mountpoint, before)
    return interruptedStatus(mounted, mountpoint, options)
  }
  const { session, backend } = mounted

  const log = new Logger(sinkAfterStart(options, context, logFile))
  if ((await channel?.say('ready')) === false) {
    session.close()
    return { status: STATUS.ok, clean: false }
  }
  if (inBackground(options, context)) channel?.release()
  if (session.negotiated !== undefined) log.info(`${mountpoint}: ${session.negotiated}`)
  const ending = await Promise.race([stop, session.ended.then((end): Ending => ({ kind: 'session', end }))])
  const status = finish(ending, session, mountpoint, log)
  // libfuse keeps what it has begun.
  const clean = ending.kind === 'session' && ending.end === 'unmounted' && options.backend === 'session'
  if (clean) backend.close()
  return { status, clean }
}

async function stopRequested({ stopSignal }: EndSignals): Promise<Ending> {
  return { kind: 'signal', signal: await stopSignal }
}

async function timeoutAfter(seconds: number): Promise<Interruption> {
  return await sleep(seconds * 1000, { kind: 'timeout' } as const, { ref: false })
}

function interruptedStatus(interruption: Interruption, mountpoint: string, { initTimeout }: FuseOptions): Served {
  if (interruption.kind !== 'timeout') return { status: STATUS.ok, clean: false }
  throw new ProgramError(`${mountpoint}: INIT was not handled within ${initTimeout} s`, STATUS.initTimeout)
}

async function mount(mountpoint: string, options: FuseOptions, context: DaemonContext, signal: AbortSignal): Promise<Mounted> {
  if (options.faults.mountFail)
    throw new ProgramError(`${mountpoint}: mount failed, as --inject mount-fail asks`, STATUS.mountFailed)
  const { openBackend } = await import('./backends.ts')
  const backend = await openBackend(options, context.libc)
  const debug = options.debug ? ['debug'] : []
  try {
    // preflight() has looked whether it is empty, also where libfuse would not.
    const session = await backend.mount(mountpoint, [...DEFAULT_OPTIONS, ...options.mountOptions, 'nonempty', ...debug], signal)
    return { session, backend }
  } catch (error) {
    throw new ProgramError(withRemedy(`${mountpoint}: cannot mount: ${messageOf(error)}`, error), failureStatus(error), {
      cause: error,
    })
  }
}

function failureStatus(error: unknown): number {
  switch (errnoMeaning(codeOf(error))) {
    case 'exhausted':
      return STATUS.exhausted
    case 'again':
      return STATUS.failed
    case 'caller':
      // A symbolic link has come onto the way.
      return codeOf(error) === 'ELOOP' ? STATUS.notADirectory : STATUS.mountFailed
    case undefined:
      return STATUS.mountFailed
  }
}

function finish(ending: Ending, session: Session, mountpoint: string, log: Logger): number {
  switch (ending.kind) {
    case 'signal':
      session.close()
      log.info(`unmounted ${mountpoint} at ${ending.signal}`)
      return STATUS.ok
    case 'session':
      if (ending.end === 'unmounted') {
        log.info(`${mountpoint} was unmounted`)
        return STATUS.ok
      }
      log.error(`the connection of ${mountpoint} was aborted; what is mounted there is dead: umount ${mountpoint}`)
      return STATUS.aborted
  }
}

function inBackground(options: FuseOptions, context: DaemonContext): boolean {
  return !options.foreground && context.channel !== undefined
}

/**
 * In the foreground messages go on to standard error, and to syslog once its reader has gone, as a plugin's end makes it go.
 * In the background the parent's pipe is given up for the log file, or for syslog.
 */
function sinkAfterStart(options: FuseOptions, context: DaemonContext, logFile: number | undefined): LogSink {
  if (!options.foreground) return backgroundSink('dummy-fuse', context.libc, logFile)
  const sink = descriptorSink(2, syslogSink('dummy-fuse', context.libc))
  return context.channel === undefined && !options.debug ? quiet(sink) : sink
}

/** In the foreground by hand, without `-d`, information is left out: the user sees that the command ends. */
function quiet(sink: LogSink): LogSink {
  return (line, level) => {
    if (level !== 'info') sink(line, level)
  }
}
