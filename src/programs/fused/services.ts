import { UsageError } from '../../errors.ts'
import type { FusedDaemon } from '../../fused/daemon.ts'
import { fusedService } from '../../fused/service.ts'
import { toStatus } from '../../fused/status.ts'
import { checkMountOption, DEFAULT_OPTIONS } from '../../fuse/options.ts'
import { mountArguments } from '../../fuse/session/mount-options.ts'
import { requestLog } from '../../grpc/request-log.ts'
import { GrpcServer } from '../../grpc/server.ts'
import type { Logger } from '../../log.ts'
import { Fused } from '../../rpc/fused_pb.ts'
import { versionText } from '../../version.ts'
import { parseFaults } from '../dummy-fuse/faults.ts'

/** The gRPC server of dummy-fused. `onDrain` is called once Drain has been answered. */
export function openFusedServer(daemon: FusedDaemon, keptBy: string, onDrain: () => void, log: Logger): GrpcServer {
  const self = { pid: process.pid, version: versionText(), keptBy }
  const handlers = fusedService({ daemon, self, checked, onDrain })
  return new GrpcServer([{ service: Fused, handlers }], requestLog(log, toStatus), log)
}

function checked(options: readonly string[], faults: readonly string[]): ReturnType<Parameters<typeof fusedService>[0]['checked']> {
  const own = options.map(checkMountOption)
  if (own.includes('debug')) throw new UsageError("mount option 'debug' is dummy-fuse's; one daemon serves many volumes")
  const all = [...DEFAULT_OPTIONS, ...own]
  mountArguments(all)
  return { options: all, faults, fault: parseFaults(faults) }
}
