import type { Logger } from '../../log.ts'
import { type MetricsAddress, MetricsEndpoint } from '../../metrics/metrics-endpoint.ts'
import { addRestarterMetrics, type RestarterCounts } from '../../metrics/restarter-metrics.ts'
import type { EvictionOutcome } from '../../restarter/restarter.ts'

/** The metrics of a restarter, which are served until they are closed. */
interface RestarterMetrics {
  readonly count: (outcome: EvictionOutcome) => void
  readonly close: () => Promise<void>
}

/** Serves them, if there is an address. Rejects with ProgramError if the address cannot be used. */
export async function openMetrics(
  address: MetricsAddress | undefined,
  counts: RestarterCounts,
  log: Logger,
): Promise<RestarterMetrics | undefined> {
  if (address === undefined) return undefined
  const endpoint = new MetricsEndpoint(log, () => undefined)
  const count = addRestarterMetrics(endpoint.registry, counts)
  await endpoint.listen(address)
  return {
    count,
    close: async () => {
      await endpoint.close()
    },
  }
}
