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

/** What the plugin's metrics and its readiness tell. */
export interface PluginState extends VolumeCounts {
  /** Why the kubelet has not registered the plugin; undefined if it has, or where another program registers it. */
  readonly unregisteredReason: () => string | undefined
}

/** Serves the plugin's metrics and its readiness. Rejects with ProgramError if the address cannot be used. */
export async function openMetrics(
  address: MetricsAddress,
  driverName: string,
  state: PluginState,
  log: Logger,
): Promise<PluginMetrics> {
  const endpoint = new MetricsEndpoint(log, state.unregisteredReason)
  const calls = new CallMetrics(endpoint.registry, driverName)
  addVolumeMetrics(endpoint.registry, state)
  await endpoint.listen(address)
  return {
    around: (inner) => calls.around(inner),
    close: async () => {
      await endpoint.close()
    },
  }
}
