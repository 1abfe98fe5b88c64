import { controller } from '../../csi/controller.ts'
import { identity } from '../../csi/identity.ts'
import { node } from '../../csi/node.ts'
import { CsiServer } from '../../csi/server.ts'
import { checkMountFlag } from '../../fuse/options.ts'
import type { Logger } from '../../log.ts'
import { versionText } from '../../version.ts'
import type { PluginOptions } from './options.ts'
import type { VolumeSystem } from './volumes.ts'

/** The gRPC server with the services that `--role` names. */
export function openServer(
  { driverName, nodeId, roles }: PluginOptions,
  { volumes, registry }: VolumeSystem,
  log: Logger,
): CsiServer {
  const isController = roles.has('controller')
  return new CsiServer(
    {
      identity: identity(driverName, versionText(), isController),
      node: roles.has('node') ? node(nodeId, volumes, checkMountFlag) : undefined,
      controller: controller(registry, isController),
    },
    log,
  )
}
