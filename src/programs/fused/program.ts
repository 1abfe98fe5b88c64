import { closeSync, existsSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { unlessAborted } from '../../call-context.ts'
import { messageOf, ProgramError } from '../../errors.ts'
import { FusedDaemon } from '../../fused/daemon.ts'
import { FdHolders } from '../../fused/fd-holders.ts'
import { drainedFile } from '../../fused/drained-file.ts'
import { fetchDevices } from '../../fused/fetched-devices.ts'
import { Records, recordsFolder } from '../../fused/session-records.ts'
import { Sessions } from '../../fused/sessions.ts'
import { StandbyLink } from '../../fused/standby-link.ts'
import { standbySocket } from '../../fused/standby-socket.ts'
import { FdStoreCapacity } from '../../fused/fd-store-capacity.ts'
import { type Lack, Successor } from '../../fused/successor.ts'
import type { SessionEngine } from '../../fuse/session/engine.ts'
import { descriptorSink, Logger } from '../../log.ts'
import { AddonLoader } from '../../os/addons.ts'
import { bootId } from '../../os/processes/boot-id.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { exitAtOnce } from '../../os/processes/exit.ts'
import { type InheritedDescriptor, inheritedDescriptors } from '../../os/descriptors/inherited.ts'
import { Libc } from '../../os/libc.ts'
import type { ListeningSocket } from '../../os/sockets/listening-socket.ts'
import { shareHeap, tidyMemory } from '../../os/processes/memory.ts'
import { startThreadPool } from '../../os/processes/thread-pool.ts'
import { openMountTable } from '../../os/mounts/mount-table.ts'
import { keepAlive } from '../../sd/keep-alive.ts'
import { ServiceManager } from '../../sd/service-manager.ts'
import { isSocket } from '../../os/descriptors/descriptors.ts'
import { syslogSink } from '../../os/syslog.ts'
import { listeningName } from '../../os/sockets/unix-address.ts'
import { versionText } from '../../version.ts'
import { oneLine } from '../../printable.ts'
import { exitOf } from '../exit-of.ts'
import type { Program } from '../program.ts'
import { type EarlyOptions, pickEarlyOptions } from './early-options.ts'
import { kernelResends, openEngine } from './engine.ts'
import { FUSED_LIMITS, RECORD_LIMITS } from './limits.ts'
import { FailedStarts } from './failed-starts.ts'
import { lockState } from '../state-lock.ts'
import { DAEMON_STOPPING, nextStopSignal } from '../stop-signal.ts'
import { StatusLine } from '../status-line.ts'
import type { FusedOptions } from './options.ts'
import { openStarter, type Starter } from './starter.ts'

/** How it is to end: for a successor, for good, or for good while a standby serves on. */
type Ending = 'drain' | 'stop' | 'hand over'

/**
 * dummy-fused: serves sessions that survive it. What is imported where it is used is not needed to take over: node:net and
 * node:child_process alone take 3 ms to load, which every reader would wait.
 */
export const fused: Program = async ({ args, env }) => {
  // Readers may be waiting for what was handed over; all else has time.
  const early = env.LISTEN_FDS === undefined ? await readOptions(args, env) : pickEarlyOptions(args, env)
  const libc = new Libc(new AddonLoader())
  shareHeap(libc)
  const inherited = inheritedDescriptors(env, libc)
  const starter = await openStarter(env)
  const syslog = syslogSink('dummy-fused', () => libc)
  const sink = starter === undefined ? descriptorSink(2) : descriptorSink(2, syslog)
  const log = new Logger(sink, early.logFormat)
  const manager = new ServiceManager(env, libc, log)
  if (early.dieWithParent) libc.setParentDeathSignal('SIGKILL')
  // A plugin waits for this start, and starts the next one only when a call needs it.
  const failed = starter === undefined ? new FailedStarts(early.stateDir) : undefined
  failed?.count()
  // A terminal sends SIGINT and SIGHUP to the parent as well, which a daemon that dies with it leaves them to.
  const stopSignal = early.dieWithParent ? nextStopSignal(['SIGTERM'], ['SIGINT', 'SIGHUP']) : nextStopSignal(DAEMON_STOPPING)
  try {
    const { listening, stored } = split(inherited)
    const lost = Promise.withResolvers<never>()
    const engine = openEngine(early.pollTime, libc, log, lost.reject)
    const { daemon, successor, standby } = openSessions({
      early,
      libc,
      engine,
      manager,
      log,
      expectsKeeper: starter === undefined,
    })
    successor.begin(stored)
    // Until the thread is up this one serves: nothing else may take its time.
    if (stored.length > 0) await Promise.race([engine.up, lost.promise])
    const options = await readOptions(args, env)
    const all = {
      options,
      libc,
      engine,
      daemon,
      successor,
      standby,
      manager,
      log,
      failed,
      starter,
      onLost: lost.reject,
    }
    return await Promise.race([serve(all, listening, stopSignal), lost.promise, ...(starter === undefined ? [] : [starter.lost])])
  } catch (error) {
    const exit = exitOf(error)
    if (exit !== undefined && exit.message !== '') process.stderr.write(`dummy-fused: ${oneLine(exit.message)}\n`)
    await failed?.wait(stopSignal)
    throw exit === undefined ? error : new ProgramError('', exit.status)
  }
}

/** Everything, once the sessions are served. */
interface FusedContext {
  readonly options: FusedOptions
  readonly libc: Libc
  readonly engine: SessionEngine
  readonly daemon: FusedDaemon
  readonly successor: Successor
  readonly standby: StandbyLink
  readonly manager: ServiceManager
  readonly log: Logger
  /** Undefined where a plugin waits for each start. */
  readonly failed: FailedStarts | undefined
  readonly starter: Starter | undefined
  /** It cannot go on. */
  readonly onLost: (error: unknown) => void
}

async function serve(
  all: FusedContext,
  listening: readonly InheritedDescriptor[],
  stopSignal: Promise<NodeJS.Signals>,
): Promise<number> {
  const { options, libc, engine, daemon, successor, standby, manager, log, failed, starter } = all
  log.info(`dummy-fused ${versionText()}, ${starter === undefined ? `kept by ${manager.supervisor}` : 'started by a plugin'}`)
  lockState(libc, options.stateDir, 'dummy-fused')
  await startThreadPool()
  const sockets = await listen(all, listening)
  await engine.up
  await successor.fetch()
  // One that served meanwhile: from its end on all that is read is counted here, and what is to end has no other holder.
  await standby.begin()
  await successor.tidy(options.takeoverDeadline, AbortSignal.timeout(FUSED_LIMITS.tidy))
  const { openFusedServer } = await (await import('../with-grpc.ts')).loadFusedServices()
  const drained = Promise.withResolvers<'drain'>()
  const hooks = { onDrain: () => drained.resolve('drain'), tidy: () => tidyMemory(libc) }
  const server = openFusedServer(daemon, manager.supervisor, hooks, log)
  for (const socket of sockets) server.serve(socket)
  failed?.forget(log)
  await starter?.announce()
  const on = sockets.map(({ path }) => path).join(', ')
  const status = new StatusLine(manager, () => `Serving ${daemon.sessions.all().length} sessions on ${on}`)
  status.ready()
  daemon.sessions.onChange(status.changed)
  keepAlive(manager, () => daemon.answers(), all.onLost)

  const stopped = stopSignal.then((signal) => endingOf(signal, manager, options.onStop))
  const ending = await Promise.race([stopped, drained.promise])
  manager.announce('STOPPING=1')
  if (ending !== 'stop') {
    const deadline = AbortSignal.timeout(options.handoverDeadline)
    if (ending === 'drain') log.info('Draining for a successor')
    else await standbyFor(all, deadline)
    // Readers are served while calls end.
    await Promise.all([server.close(), daemon.settle(options.drainDeadline)])
    if (ending === 'drain') await standby.handOver()
    else await handOver(all, deadline)
    if (await daemon.drain(options.drainDeadline)) leaveDrained(options, log)
    exitAtOnce(libc)
  } else {
    log.info('Stopping for good')
    // The socket is free for the next daemon while this one still unmounts.
    const closed = server.close()
    await daemon.stop(options.drainDeadline)
    await closed
  }
  return 0
}

/** Waits until there is a standby, and serves meanwhile; at the latest until the deadline. */
async function standbyFor({ standby, daemon, log, options }: FusedContext, deadline: AbortSignal): Promise<void> {
  log.info('Stopping; a standby serves the sessions on')
  if (daemon.sessions.all().length === 0) return
  const waiting = setTimeout(() => {
    log.warning(`there is no standby to serve the sessions on: they are served here for up to ${options.handoverDeadline / 1000} s`)
  }, FUSED_LIMITS.handoverPause)
  await unlessAborted(standby.found(), deadline).catch(() => undefined)
  clearTimeout(waiting)
}

/** Hands the sessions over to a standby that says that it serves them: one that is about to end itself does not. */
async function handOver({ standby, daemon, log, options }: FusedContext, deadline: AbortSignal): Promise<void> {
  while (daemon.sessions.all().length > 0) {
    if (await standby.handOver()) {
      log.info('A standby serves the sessions')
      return
    }
    if (deadline.aborted) {
      log.error(`no standby has taken the sessions over within ${options.handoverDeadline / 1000} s: their consumers get ENOTCONN`)
      return
    }
    await sleep(FUSED_LIMITS.handoverPause)
  }
}

async function readOptions(args: readonly string[], env: NodeJS.ProcessEnv): Promise<FusedOptions> {
  const { parseFusedOptions } = await (await import('../with-grpc.ts')).loadFusedOptions()
  return parseFusedOptions(args, env)
}

/** What the daemon and its successor's part are made of. */
interface Beginnings {
  readonly early: EarlyOptions
  readonly libc: Libc
  readonly engine: SessionEngine
  readonly manager: ServiceManager
  readonly expectsKeeper: boolean
  readonly log: Logger
}

function openSessions({ early, engine, manager, ...others }: Beginnings): Pick<FusedContext, 'daemon' | 'successor' | 'standby'> {
  const { stateDir, withoutResend } = early
  const sessions = new Sessions()
  const onEnd = (): void => {
    daemon.resend()
  }
  const standby = new StandbyLink({
    ...others,
    socket: standbySocket(stateDir),
    sessions,
    patience: FUSED_LIMITS.standbyPatience,
    onEnd,
  })
  const { supervisor } = manager
  const room = new FdStoreCapacity(supervisor, async () =>
    supervisor === 'systemd' ? (manager.storeMax ?? (await (await import('./job.ts')).storeMax())) : manager.storeMax,
  )
  const common = {
    ...others,
    holders: new FdHolders(manager, standby, room),
    records: openRecords(early, others.log),
    bootId: bootId(),
  }
  const daemon = new FusedDaemon({ ...common, sessions, engine, table: openMountTable(common.libc), withoutResend })
  const now = { bootId: common.bootId, drained: takeDrained(early, others.log), resends: !withoutResend && kernelResends() }
  const fetch = async (lack: Lack): Promise<readonly InheritedDescriptor[]> => {
    const { libc, log } = common
    const times =
      lack === 'none'
        ? { deadline: FUSED_LIMITS.standbyPatience, absence: 0 }
        : { deadline: FUSED_LIMITS.fetch, absence: FUSED_LIMITS.standbyStart }
    const { devices, complete } = await fetchDevices({ libc, standby: standbySocket(stateDir), ...times, log })
    if (!complete && lack === 'all')
      throw new ProgramError('the standby keeps the sessions until the next start asks it again; if it hangs, end its process', 1)
    return devices
  }
  return { daemon, standby, successor: new Successor({ ...common, daemon, now, fetch }) }
}

/** Makes the state folder if it is missing. Throws ProgramError. */
function openRecords({ stateDir }: EarlyOptions, log: Logger): Records {
  try {
    makeDirectories(stateDir, 0o700)
    return new Records(recordsFolder(stateDir), RECORD_LIMITS, log)
  } catch (error) {
    throw new ProgramError(
      `cannot use the state folder ${stateDir}: ${messageOf(error)}; repair it, or name another with --state-dir`,
      1,
      { cause: error },
    )
  }
}

/** Without the file the successor asks for requests again that were answered, which the kernel ignores. */
function leaveDrained(options: EarlyOptions, log: Logger): void {
  try {
    writeFileSync(drainedFile(options.stateDir), '')
  } catch (error) {
    log.warning(`cannot write ${drainedFile(options.stateDir)}: ${messageOf(error)}; the successor treats this end as a crash`)
  }
}

/** Whether a predecessor has left {@link drainedFile}. A file that cannot be removed does not count: it would count again after a crash. */
function takeDrained(options: EarlyOptions, log: Logger): boolean {
  const file = drainedFile(options.stateDir)
  if (!existsSync(file)) return false
  try {
    rmSync(file)
    return true
  } catch (error) {
    log.warning(`cannot remove ${file}: ${messageOf(error)}; the end of the last dummy-fused counts as a crash`)
    return false
  }
}

/** The sockets that were handed over, and the sessions' devices. */
function split(inherited: readonly InheritedDescriptor[]): {
  readonly listening: readonly InheritedDescriptor[]
  readonly stored: readonly InheritedDescriptor[]
} {
  const listening = inherited.filter(({ fd }) => isSocket(fd))
  return { listening, stored: inherited.filter((one) => !listening.includes(one)) }
}

/** Listens on the sockets that were handed over, and if there are none on that of --socket. Throws ProgramError. */
async function listen(
  { options, libc, manager, log }: FusedContext,
  inherited: readonly InheritedDescriptor[],
): Promise<readonly ListeningSocket[]> {
  const { ListeningSocket } = await import('../../os/sockets/listening-socket.ts')
  const { claimSocket } = await import('../../os/sockets/unix-socket.ts')
  const path = options.socket
  // keep looks after its sockets itself.
  const advice =
    manager.supervisor === 'keep' ? undefined : 'make it again where it was made (systemctl restart dummy-fused.socket)'
  try {
    const adopted: ListeningSocket[] = []
    for (const { fd, name } of inherited) {
      const at = listeningName(libc, fd)
      if (at?.startsWith('/') === true) adopted.push(await ListeningSocket.adopt(fd, at, advice, log))
      else {
        log.error(`the socket ${name} that was passed is not used: it is not a listening unix socket with a path`)
        closeSync(fd)
      }
    }
    if (adopted.length > 0) {
      if (!adopted.some((socket) => socket.path === path)) log.info(`${path} is not listened on: another socket was passed`)
      return adopted
    }
    await claimSocket(path)
    return [await ListeningSocket.open(libc, path, log)]
  } catch (error) {
    if (error instanceof ProgramError) throw error
    throw new ProgramError(`cannot listen on ${path}: ${messageOf(error)}; name another with --socket`, 1, { cause: error })
  }
}

/** Without anybody who keeps the descriptors there is no successor. */
async function endingOf(signal: NodeJS.Signals, { supervisor }: ServiceManager, onStop: FusedOptions['onStop']): Promise<Ending> {
  const forGood = onStop === 'hand-over' ? 'hand over' : 'stop'
  switch (supervisor) {
    case 'none':
      return forGood
    case 'keep':
      return signal === 'SIGHUP' ? 'drain' : forGood
    case 'systemd':
      return signal === 'SIGTERM' && (await (await import('./job.ts')).isStopped()) ? forGood : 'drain'
  }
}
