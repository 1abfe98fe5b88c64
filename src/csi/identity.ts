import { type Identity, PluginCapability_Service_Type as Service } from '../rpc/csi_pb.ts'
import type { UnaryHandlers } from '../grpc/service.ts'

/** CSI's Identity service. `controller`: whether the Controller service is advertised. */
export function identity(driverName: string, version: string, controller: boolean): UnaryHandlers<typeof Identity> {
  return {
    getPluginInfo: () => ({ name: driverName, vendorVersion: version }),
    getPluginCapabilities: () => ({
      capabilities: controller ? [{ type: { case: 'service', value: { type: Service.CONTROLLER_SERVICE } } }] : [],
    }),
    // The plugin is ready as soon as it answers: serving begins after the restore, or while it goes on.
    probe: () => ({ ready: true }),
  }
}
