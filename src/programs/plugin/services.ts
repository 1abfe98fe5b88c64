import { controller } from '../../csi/controller.ts'
import { identity } from '../../csi/identity.ts'
import { node } from '../../csi/node.ts'
import { toStatus } from '../../csi/status.ts'
import { refuseUnknownToLibfuse } from '../../fuse/native/options.ts'
import { checkMountFlags } from '../../fuse/options.ts'
import { requestLog } from '../../grpc/request-log.ts'
import { GrpcServer } from '../../grpc/server.ts'
import type { Logger } from '../../log.ts'
import { Controller, Identity, Node } from '../../rpc/csi_pb.ts'
import { versionText } from '../../version.ts'
import { tidyAfterCalls } from '../tidy-after-calls.ts'
import type { PluginLimits } from './limits.ts'
import type { PluginOptions } from './options.ts'
import type { VolumeSystem } from './volumes.ts'

/** The gRPC server with the services that `--role` names. `tidy` is called some time after the start, and after calls. */
export function openServer(
  { driverName, nodeId, roles, fuseBackend }: PluginOptions,
  { volumes, registry }: VolumeSystem,
  { call, callMargin, tidyQuiet, tidyLatest, ...limits }: PluginLimits,
  tidy: () => void,
  log: Logger,
): GrpcServer {
  const isController = roles.has('controller')
  const checkFlags = (flags: readonly string[]): readonly string[] => {
    const checked = checkMountFlags(flags)
    if (fuseBackend === 'fuse-native') refuseUnknownToLibfuse(checked)
    return checked
  }
  return new GrpcServer(
    [
      { service: Identity, handlers: identity(driverName, versionText(), isController) },
      ...(roles.has('node') ? [{ service: Node, handlers: node(nodeId, volumes, checkFlags) }] : []),
      { service: Controller, handlers: controller(registry, isController) },
    ],
    tidyAfterCalls(requestLog(log, toStatus), tidy, { quiet: tidyQuiet, latest: tidyLatest }),
    { ...limits, calls: { standard: call, longest: call, margin: callMargin } },
    log,
  )
}
