import { collectDefaultMetrics, Registry } from 'prom-client'
import type { UnaryInterceptor } from '../../grpc/service.ts'
import { CallMetrics } from '../../metrics/call-metrics.ts'
import { type MetricsAddress, MetricsEndpoint } from '../../metrics/metrics-endpoint.ts'
import { addVolumeMetrics, type VolumeCounts } from '../../metrics/volume-metrics.ts'
import type { Logger } from '../../log.ts'
import type { PluginLimits } from './limits.ts'

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
  { metricsRequest: request, metricsConnections: connections, metricsLoopLook }: PluginLimits,
  log: Logger,
): Promise<PluginMetrics> {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: metricsLoopLook })
  const calls = new CallMetrics(registry, driverName)
  addVolumeMetrics(registry, counts)
  const endpoint = await MetricsEndpoint.open(registry, address, { request, connections }, log)
  return {
    around: (inner) => calls.around(inner),
    close: async () => {
      await endpoint.close()
    },
  }
}
