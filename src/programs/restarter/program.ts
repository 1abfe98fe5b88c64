import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { openCluster } from '../../kubernetes/cluster.ts'
import { descriptorSink, Logger } from '../../log.ts'
import { versionText } from '../../version.ts'
import type { Program } from '../program.ts'
import { nextStopSignal } from '../stop-signal.ts'
import { parseRestarterOptions } from './options.ts'
import { runRestarter } from './run.ts'

/** dummy-fuse-csi restarter: evicts pods whose volumes stay inaccessible, until SIGTERM or SIGINT. */
export const restarter: Program = async ({ args, env }) => {
  const options = parseRestarterOptions(args, env)
  const log = new Logger(descriptorSink(2), options.logFormat)
  const stop = new AbortController()
  const signalled = nextStopSignal().then((signal): undefined => {
    log.info(`Ending at ${signal}`)
    stop.abort()
  })
  log.info(`Version: ${versionText()}`)
  // A credential plugin of the kubeconfig may take long.
  const cluster = await Promise.race([openCluster(options.kubeconfig, options.inPod), signalled])
  if (cluster === undefined) return 0
  // Differs from that of a process that had the same host name before.
  const identity = `${hostname()}_${randomUUID()}`
  await runRestarter(options, cluster, identity, stop.signal, log)
  await signalled
  return 0
}
