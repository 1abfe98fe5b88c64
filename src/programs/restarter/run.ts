import { ApiServer } from '../../kubernetes/api-server.ts'
import type { Cluster } from '../../kubernetes/cluster.ts'
import { LeaderElection } from '../../kubernetes/leader-election.ts'
import { LeaseObject } from '../../kubernetes/lease.ts'
import { ObjectWatch } from '../../kubernetes/object-watch.ts'
import type { Logger } from '../../log.ts'
import { SYSTEM_CLOCK } from '../../os/clock.ts'
import { Controllers } from '../../restarter/controllers.ts'
import { Nodes } from '../../restarter/nodes.ts'
import { PodEvents } from '../../restarter/pod-events.ts'
import { Pods } from '../../restarter/pods.ts'
import { Restarter } from '../../restarter/restarter.ts'
import { VolumeDrivers } from '../../restarter/volume-drivers.ts'
import { RESTARTER_LIMITS } from './limits.ts'
import { openMetrics } from './metrics.ts'
import type { RestarterOptions } from './options.ts'

/**
 * Watches the pods, and evicts while it leads. A process that does not lead watches too: it knows since when volumes are inaccessible when its turn
 * comes. Ends when the signal is aborted, once the lease is given back.
 */
export async function runRestarter(
  options: RestarterOptions,
  cluster: Cluster,
  identity: string,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  const { driverName, selector, rules, leaseName, leaseNamespace = cluster.namespace, metricsAddress } = options
  const limits = RESTARTER_LIMITS
  const clock = SYSTEM_CLOCK
  const api = new ApiServer(cluster, limits, clock)
  const pods = new Pods(driverName, clock, log)
  const watch = new ObjectWatch({
    api,
    path: '/api/v1/pods',
    query: { labelSelector: selector },
    sink: pods,
    limits: {
      page: limits.page,
      resync: limits.resync,
      watch: limits.watch,
      shortest: limits.shortestWatch,
      retry: { first: limits.watchRetryFirst, longest: limits.watchRetryLongest },
    },
    clock,
    log,
  })
  const counts = { leading: () => restarter.leading, inaccessiblePods: () => pods.inaccessible }
  const metrics = await openMetrics(metricsAddress, counts, log)
  const restarter = new Restarter({
    api,
    pods,
    drivers: new VolumeDrivers(api),
    controllers: new Controllers(api, clock, limits.controllers),
    nodes: new Nodes(api, clock, limits.silentNode, log),
    events: new PodEvents(api, identity, limits.eventRepeat, clock, log),
    rules,
    driverName,
    selector,
    limits: {
      settle: limits.settle,
      look: limits.look,
      current: limits.current,
      unseen: limits.unseen,
      refused: { first: limits.refusedFirst, longest: limits.refusedLongest },
    },
    clock,
    onAttempt: (outcome) => metrics?.count(outcome),
    log,
  })
  const lease = new LeaseObject(api, leaseNamespace, leaseName)
  const election = new LeaderElection({ lease, identity, limits, clock, log })
  const what = rules.driver === undefined ? 'all drivers' : `driver ${rules.driver}`
  log.info(`Watching pods with volumes of ${what} at ${cluster.server}; lease ${leaseNamespace}/${leaseName}`)
  const watching = watch.run(signal).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
  await Promise.all([watching, election.run(signal, async (term) => await restarter.lead(term))])
  await metrics?.close()
  api.close()
}
