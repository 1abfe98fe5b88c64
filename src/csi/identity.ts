import { type Identity, PluginCapability_Service_Type as Service } from '../rpc/csi_pb.ts'
import type { UnaryHandlers } from '../grpc/service.ts'

/**
 * CSI's Identity service. `controller`: whether the Controller service is advertised. `unavailableReason` returns why the plugin is not ready,
 * undefined if it is.
 */
export function identity(
  driverName: string,
  version: string,
  controller: boolean,
  unavailableReason: () => string | undefined,
): UnaryHandlers<typeof Identity> {
  return {
    getPluginInfo: () => ({ name: driverName, vendorVersion: version }),
    getPluginCapabilities: () => ({
      capabilities: controller ? [{ type: { case: 'service', value: { type: Service.CONTROLLER_SERVICE } } }] : [],
    }),
    // Serving begins after the restore, or while it goes on: a plugin that answers is ready, unless the kubelet does not use it.
    probe: () => ({ ready: unavailableReason() === undefined }),
  }
}
