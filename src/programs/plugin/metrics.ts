import type { UnaryInterceptor } from '../../grpc/service.ts'
import { CallMetrics } from '../../metrics/call-metrics.ts'
import { type MetricsAddress, MetricsEndpoint } from '../../metrics/metrics-endpoint.ts'
import { addVolumeMetrics, type VolumeCounts } from '../../metrics/volume-metrics.ts'
import type { Logger } from '../../log.ts'

/** The metrics of a plugin, which are served until they are closed. */
export interface PluginMetrics {
  /** An interceptor around another one that counts the calls. */
  readonly around: (inner: UnaryInterceptor) => UnaryInterceptor
  readonly close: () => Promise<void>
}

/** Serves the plugin's metrics. Rejects with ProgramError if the address cannot be used. */
export async function openMetrics(
  address: MetricsAddress,
  driverName: string,
  counts: VolumeCounts,
  log: Logger,
): Promise<PluginMetrics> {
  const endpoint = new MetricsEndpoint(log)
  const calls = new CallMetrics(endpoint.registry, driverName)
  addVolumeMetrics(endpoint.registry, counts)
  await endpoint.listen(address)
  return {
    around: (inner) => calls.around(inner),
    close: async () => {
      await endpoint.close()
    },
  }
}
