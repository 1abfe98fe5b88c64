import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, ProgramError } from '../../errors.ts'
import { descriptorSink, Logger } from '../../log.ts'
import { AddonLoader } from '../../os/addons.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { Libc } from '../../os/libc.ts'
import { ListeningSocket } from '../../os/sockets/listening-socket.ts'
import { shareHeap, tidyMemory } from '../../os/processes/memory.ts'
import { ServiceManager } from '../../sd/service-manager.ts'
import { startThreadPool } from '../../os/processes/thread-pool.ts'
import { claimSocket } from '../../os/sockets/unix-socket.ts'
import { oneLine } from '../../printable.ts'
import type { ProgramSpec } from '../../program-file/spec.ts'
import { versionText } from '../../version.ts'
import { print } from '../print.ts'
import type { Program } from '../program.ts'
import { pluginLimits } from './limits.ts'
import type { PluginMetrics, PluginState } from './metrics.ts'
import { parsePluginOptions, type PluginOptions } from './options.ts'
import { lockState } from '../state-lock.ts'
import { StatusLine } from '../status-line.ts'
import { nextStopSignal } from '../stop-signal.ts'
import { openVolumes, type VolumeSystem } from './volumes.ts'

/** dummy-fuse-csi serve: the CSI plugin, until SIGTERM or SIGINT. */
export const plugin: Program = async (context) => {
  const options = parsePluginOptions(context.args, context.env)
  if (options.program !== undefined && options.check) {
    const { checkProgram } = await import('./hosted-program.ts')
    const { text, complete } = checkProgram(options.program, options.fuseHost, context.env)
    await print(text)
    return complete ? 0 : 1
  }
  const log = new Logger(descriptorSink(2), options.logFormat)
  const libc = new Libc(new AddonLoader())
  shareHeap(libc)
  // Calls bring secrets.
  libc.forbidCoreDumps()
  const manager = new ServiceManager(context.env, libc, log)
  const stopSignal = nextStopSignal()

  const spec = await programOf(options, context.env)
  log.info(`Driver: ${options.driverName}`)
  log.info(`Driver version: ${versionText()}`)
  await startThreadPool()
  await claimSocket(options.socket)
  const limits = pluginLimits(options)
  const system = openState(libc, options.stateDir, () => openVolumes(options, limits, context, libc, log, spec))
  const restored = options.restoreMounts ? system.restorer.restore() : Promise.resolve()
  const early = await Promise.race([
    restored.then(() => 'restored' as const),
    sleep(limits.socketWait, 'late' as const),
    stopSignal,
  ])
  const socket = await listen(libc, options.socket, log)
  // gRPC takes as long to load as all that came before: the mounts are back and clients can connect by then.
  const { newRegistration, openServer } = await import('./services.ts')
  const parts = { options, limits, log }
  const { restoration } = system
  const status = new StatusLine(manager, () => {
    const rest = restoration.left === 0 ? '' : `; ${restoration.left} volumes are still being re-mounted`
    const reason = registration?.unavailableReason
    return `Serving on ${options.socket}${rest}${reason === undefined ? '' : `; ${oneLine(reason)}`}`
  })
  const registration = newRegistration(parts, libc, status.changed)
  const unavailableReason = (): string | undefined => registration?.unavailableReason
  const unregisteredReason = (): string | undefined => registration?.unregisteredReason
  const metrics = await serveMetrics(options, system, { unavailableReason, unregisteredReason }, log)
  const server = openServer(parts, system, {
    tidy: () => tidyMemory(libc),
    unavailableReason,
    around: (inner) => metrics?.around(inner) ?? inner,
  })
  restoration.onChange(status.changed)
  const { left } = restoration
  if (early === 'late') log.info(`Serving while ${left} volumes are still being re-mounted; a call for one of them waits for it`)
  server.serve(socket)
  await registration?.begin()
  status.ready()
  if (early === 'late') {
    restored.then(
      () => {
        log.info('All volumes have been re-mounted, or have failed to')
      },
      (error: unknown) => {
        log.error(`Re-mounting volumes has ended early, restart the plugin: ${messageOf(error)}`)
      },
    )
  }

  const signal = await stopSignal
  log.info(`Ending at ${signal}`)
  manager.announce('STOPPING=1')
  await registration?.close()
  await server.close()
  await system.handOver()
  await metrics?.close()
  return 0
}

/** The program that serves volumes; undefined for dummy-fuse. What reads its file is not loaded then. Rejects with ProgramError. */
async function programOf({ program, fuseHost }: PluginOptions, env: NodeJS.ProcessEnv): Promise<ProgramSpec | undefined> {
  if (program === undefined) return undefined
  const { readProgram, requireNeeds } = await import('./hosted-program.ts')
  const spec = readProgram(program)
  requireNeeds(spec, fuseHost, env)
  return spec
}

/** Resolves to undefined where the command line asks for no metrics; their library is not loaded then. */
async function serveMetrics(
  { metricsAddress, driverName }: PluginOptions,
  { cache, restoration }: VolumeSystem,
  reasons: Pick<PluginState, 'unavailableReason' | 'unregisteredReason'>,
  log: Logger,
): Promise<PluginMetrics | undefined> {
  if (metricsAddress === undefined) return undefined
  const { openMetrics } = await import('./metrics.ts')
  const state = {
    staged: () => cache.staged().length,
    published: () => cache.published().length,
    restoring: () => restoration.left,
    ...reasons,
  }
  return await openMetrics(metricsAddress, driverName, state, log)
}

function openState<T>(libc: Libc, stateDir: string, open: () => T): T {
  try {
    makeDirectories(stateDir, 0o750)
    lockState(libc, stateDir, 'plugin')
    return open()
  } catch (error) {
    if (error instanceof ProgramError) throw error
    throw new ProgramError(
      `cannot use the state folder ${stateDir}: ${messageOf(error)}; repair it, or name another with --state-dir`,
      1,
      { cause: error },
    )
  }
}

/** The socket's path was free when we began, but restoring takes time. */
async function listen(libc: Libc, path: string, log: Logger): Promise<ListeningSocket> {
  try {
    return await ListeningSocket.open(libc, path, log)
  } catch (error) {
    throw new ProgramError(`cannot listen on ${path}: ${messageOf(error)}; name another endpoint`, 1, { cause: error })
  }
}
