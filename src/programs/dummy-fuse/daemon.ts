import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { DummyFs } from '../../dummyfs/dummyfs.ts'
import { messageOf, ProgramError } from '../../errors.ts'
import type { Session, SessionEnd } from '../../fuse/backend.ts'
import { DEFAULT_OPTIONS } from '../../fuse/options.ts'
import { descriptorSink, Logger } from '../../log.ts'
import { deviceAt, detachUnless } from '../../os/leftover.ts'
import type { Libc } from '../../os/libc.ts'
import { MountinfoTable } from '../../os/mount-table.ts'
import { syslogSink } from '../../os/syslog.ts'
import { ReadyChannel } from './channel.ts'
import { STATUS } from './exit-status.ts'
import { slowReads } from './faults.ts'
import type { FuseOptions } from './options.ts'
import { preflight } from './preflight.ts'

/** What a daemon needs from outside. */
export interface DaemonContext {
  readonly libc: () => Libc
  /** The descriptor on which a parent waits for our word; none for a daemon started by hand with -f. */
  readonly readyFd: number | undefined
}

type Ending = { readonly kind: 'signal'; readonly signal: NodeJS.Signals } | { readonly kind: 'session'; readonly end: SessionEnd }

/** Mounts and serves until it is unmounted or told to end; resolves to the exit status. Throws ProgramError if it cannot mount. */
export async function serve(options: FuseOptions, context: DaemonContext): Promise<number> {
  if (options.dieWithParent) context.libc().setParentDeathSignal('SIGKILL')
  const told = toldToEnd(options)
  const lost = Promise.withResolvers<'lost'>()
  const channel =
    context.readyFd === undefined
      ? undefined
      : new ReadyChannel(context.readyFd, () => {
          lost.resolve('lost')
        })

  const mountpoint = await preflight(options.mountpoint, options.mountOptions.includes('nonempty'))
  const table = new MountinfoTable()
  const before = deviceAt(table, mountpoint)
  const timeout = context.readyFd === undefined ? sleep(options.initTimeout * 1000, 'timeout' as const, { ref: false }) : []
  const started = await Promise.race([mount(mountpoint, options, context), told, lost.promise, timeout].flat())
  if (started === 'timeout' || started === 'lost' || 'kind' in started) {
    detachUnless(table, context.libc(), mountpoint, before)
    if (started !== 'timeout') return STATUS.ok
    throw new ProgramError(`${mountpoint}: INIT was not handled within ${options.initTimeout} s`, STATUS.initTimeout)
  }

  const log = new Logger(sinkAfterStart(options, context))
  await channel?.announce()
  const ending = await Promise.race([told, started.ended.then((end): Ending => ({ kind: 'session', end }))])
  return finish(ending, started, mountpoint, log)
}

async function mount(mountpoint: string, options: FuseOptions, context: DaemonContext): Promise<Session> {
  const { faults } = options
  if (faults.mountDelay > 0) await sleep(faults.mountDelay * 1000)
  if (faults.mountFail) throw new ProgramError(`${mountpoint}: mount failed, as --inject mount-fail asks`, STATUS.mountFailed)
  const { NativeBackend } = await import('../../fuse/native/backend.ts')
  const beforeInit = faults.initHang ? () => new Promise<never>(() => undefined) : () => Promise.resolve()
  const backend = new NativeBackend(slowReads(new DummyFs(), faults.readDelay), context.libc, beforeInit)
  const debug = options.debug ? ['debug'] : []
  try {
    // preflight() has looked whether it is empty, also where libfuse would not.
    return await backend.mount(mountpoint, [...DEFAULT_OPTIONS, ...options.mountOptions, 'nonempty', ...debug])
  } catch (error) {
    throw new ProgramError(`${mountpoint}: cannot mount: ${messageOf(error)}`, STATUS.mountFailed, { cause: error })
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

/** A daemon that its parent takes along (--die-with-parent) leaves the terminal's Ctrl-C to that parent. */
async function toldToEnd({ dieWithParent }: FuseOptions): Promise<Ending> {
  return await new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (signal === 'SIGTERM' || !dieWithParent) resolve({ kind: 'signal', signal })
      })
    }
  })
}

/**
 * In the foreground messages go on to standard error, and to syslog once its reader has gone, as a plugin's end makes it go.
 * In the background the parent's pipe is given up for the log file, or for syslog.
 */
function sinkAfterStart(options: FuseOptions, context: DaemonContext): (line: string, level: 'info' | 'warning' | 'error') => void {
  const syslog = syslogSink('dummy-fuse', context.libc)
  if (options.foreground && context.readyFd === undefined) return quiet(descriptorSink(2, syslog))
  if (options.foreground) return descriptorSink(2, syslog)
  closeSync(2)
  // open(2) takes the lowest free descriptor, so that what libfuse and Node print lands there too.
  openSync(options.logFile ?? '/dev/null', 'a')
  return options.logFile === undefined ? syslog : descriptorSink(2)
}

/** By hand in the foreground, an end that was asked for is no news. */
function quiet(sink: (line: string, level: 'info' | 'warning' | 'error') => void): typeof sink {
  return (line, level) => {
    if (level !== 'info') sink(line, level)
  }
}
