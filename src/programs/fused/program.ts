import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { messageOf, ProgramError } from '../../errors.ts'
import { FusedDaemon } from '../../fused/daemon.ts'
import { Records } from '../../fused/records.ts'
import { Successor } from '../../fused/successor.ts'
import { SessionEngine } from '../../fuse/session/engine.ts'
import { descriptorSink, Logger } from '../../log.ts'
import { AddonLoader } from '../../os/addons.ts'
import { type InheritedDescriptor, inheritedDescriptors } from '../../os/inherited.ts'
import { Libc } from '../../os/libc.ts'
import { ListeningSocket } from '../../os/listening-socket.ts'
import { openMountTable } from '../../os/mount-table.ts'
import { ServiceManager } from '../../os/sd-notify.ts'
import { isSocket } from '../../os/descriptors.ts'
import { claimSocket } from '../../os/unix-socket.ts'
import { versionText } from '../../version.ts'
import { dummyFileSystem } from '../file-systems.ts'
import type { Program } from '../program.ts'
import { startServingThread } from '../start-thread.ts'
import { lockState } from '../state-lock.ts'
import { FailedStarts } from './failed-starts.ts'
import { isStopped } from './job.ts'
import { type FusedOptions, parseFusedOptions } from './options.ts'

/** How it is to end: for a successor, or for good. */
type Ending = 'drain' | 'stop'

/** dummy-fused: serves sessions that survive it. */
export const fused: Program = async ({ words, env }) => {
  const options = parseFusedOptions(words, env)
  const failed = new FailedStarts(options.stateDir)
  failed.count()
  const told = toldToEnd()
  try {
    return await serve(options, env, told, failed)
  } catch (error) {
    if (error instanceof ProgramError) process.stderr.write(`dummy-fused: ${error.message}\n`)
    await failed.wait(told)
    throw error instanceof ProgramError ? new ProgramError('', error.status) : error
  }
}

/** What the process has beside its sessions. */
interface Surroundings {
  readonly options: FusedOptions
  readonly log: Logger
  readonly manager: ServiceManager
}

async function serve(
  options: FusedOptions,
  env: NodeJS.ProcessEnv,
  told: Promise<NodeJS.Signals>,
  failed: FailedStarts,
): Promise<number> {
  const log = new Logger(descriptorSink(2), options.logFormat)
  const libc = new Libc(new AddonLoader())
  const manager = new ServiceManager(env, libc, log)
  const inherited = inheritedDescriptors(env, libc)
  const surroundings = { options, log, manager }
  const lost = Promise.withResolvers<never>()
  const engine = openEngine(options, libc, log, lost.reject)
  const daemon = openDaemon(surroundings, engine, libc)
  const successor = openSuccessor(surroundings, daemon, libc)
  const [listening, stored] = split(inherited)
  successor.begin(stored)

  // Sessions are served; everything else has time.
  log.info(`dummy-fused ${versionText()}, kept by ${manager.supervisor}`)
  await lockState(options.stateDir, 'dummy-fused')
  const socket = await listen(options.socket, listening)
  await Promise.race([engine.up, lost.promise])
  await successor.tidy()
  const { openFusedServer } = await (await import('../large.ts')).loadFusedServices()
  const drained = Promise.withResolvers<'drain'>()
  const server = openFusedServer(daemon, manager.supervisor, () => drained.resolve('drain'), log)
  server.serve(socket)
  failed.forget()
  manager.notify('READY=1', `STATUS=Serving ${daemon.sessions.all().length} sessions on ${options.socket}`)
  keepAlive(surroundings, daemon)

  const ending = await Promise.race([told.then((signal) => endingOf(signal, manager)), drained.promise, lost.promise])
  manager.notify('STOPPING=1')
  if (ending === 'drain') {
    log.info('Draining for a successor')
    await daemon.drain(options.drainDeadline)
    writeFileSync(drainedFile(options), '')
  } else {
    log.info('Stopping for good')
    await daemon.stop(options.drainDeadline)
  }
  await server.close()
  return 0
}

function openEngine({ pollTime }: FusedOptions, libc: Libc, log: Logger, onLost: (error: Error) => void): SessionEngine {
  return new SessionEngine({
    libc,
    filesystem: dummyFileSystem,
    startThread: startServingThread,
    pollTime,
    say: (kind, id, text) => {
      log.warning(`session ${id}: ${kind === 'trace' ? '' : `${kind}: `}${text}`)
    },
    onLost,
  })
}

function openDaemon({ options, log, manager }: Surroundings, engine: SessionEngine, libc: Libc): FusedDaemon {
  const { stateDir, withoutResend } = options
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    const records = new Records(join(stateDir, 'sessions'))
    return new FusedDaemon({ engine, libc, table: openMountTable(libc), records, manager, bootId: bootId(), withoutResend, log })
  } catch (error) {
    throw new ProgramError(
      `cannot use the state folder ${stateDir}: ${messageOf(error)}; mend it, or name another with --state-dir`,
      1,
      {
        cause: error,
      },
    )
  }
}

function openSuccessor({ options, log, manager }: Surroundings, daemon: FusedDaemon, libc: Libc): Successor {
  const drained = existsSync(drainedFile(options))
  rmSync(drainedFile(options), { force: true })
  const now = { bootId: bootId(), drained, resends: !options.withoutResend && kernelResends() }
  const records = new Records(join(options.stateDir, 'sessions'))
  return new Successor({ daemon, records, manager, libc, now, deadline: options.takeoverDeadline, log })
}

/** What a predecessor leaves that has answered all it had read. */
function drainedFile({ stateDir }: FusedOptions): string {
  return join(stateDir, 'drained')
}

/** Linux 6.9 brought FUSE_NOTIFY_RESEND. */
function kernelResends(): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  return major > 6 || (major === 6 && minor >= 9)
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}

/** The socket to listen on, if one was handed over, and the sessions' devices. */
function split(
  inherited: readonly InheritedDescriptor[],
): readonly [InheritedDescriptor | undefined, readonly InheritedDescriptor[]] {
  const listening = inherited.find(({ fd }) => isSocket(fd))
  return [listening, inherited.filter((one) => one !== listening)]
}

async function listen(path: string, listening: InheritedDescriptor | undefined): Promise<ListeningSocket> {
  try {
    if (listening !== undefined) return await ListeningSocket.adopt(listening.fd, path)
    await claimSocket(path)
    return await ListeningSocket.open(path)
  } catch (error) {
    if (error instanceof ProgramError) throw error
    throw new ProgramError(`cannot listen on ${path}: ${messageOf(error)}; name another with --socket`, 1, { cause: error })
  }
}

/** The watchdog hears from us only while the serving thread answers. */
function keepAlive({ manager }: Surroundings, daemon: FusedDaemon): void {
  if (manager.watchdog === undefined) return
  const timer = setInterval(() => {
    void daemon.alive().then((alive) => {
      if (alive) manager.notify('WATCHDOG=1')
    })
  }, manager.watchdog / 2)
  timer.unref()
}

async function toldToEnd(): Promise<NodeJS.Signals> {
  return await new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, resolve)
  })
}

/** Without anybody who keeps the descriptors there is no successor. */
async function endingOf(signal: NodeJS.Signals, { supervisor }: ServiceManager): Promise<Ending> {
  switch (supervisor) {
    case 'none':
      return 'stop'
    case 'keep':
      return signal === 'SIGHUP' ? 'drain' : 'stop'
    case 'systemd':
      return signal === 'SIGTERM' && (await isStopped()) ? 'stop' : 'drain'
  }
}
