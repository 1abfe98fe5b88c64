import { UsageError } from '../../errors.ts'
import type { FusedDaemon } from '../../fused/daemon.ts'
import { fusedService } from '../../fused/service.ts'
import { toStatus } from '../../fused/status.ts'
import { checkMountOption, DEFAULT_OPTIONS } from '../../fuse/options.ts'
import { mountArguments } from '../../fuse/session/mount-options.ts'
import { requestLog } from '../../grpc/request-log.ts'
import { GrpcServer } from '../../grpc/server.ts'
import type { UnaryInterceptor } from '../../grpc/service.ts'
import type { Logger } from '../../log.ts'
import { Fused } from '../../rpc/fused_pb.ts'
import { versionText } from '../../version.ts'
import { parseFaults } from '../dummy-fuse/faults.ts'

/** Milliseconds without a call after which there is time to tidy up. */
const QUIET = 1000

/** What becomes of calls. */
export interface CallHooks {
  /** Drain has been answered. */
  readonly onDrain: () => void
  /** There have been no calls for a while, since the start or since the last one. */
  readonly onQuiet: () => void
}

/** The gRPC server of dummy-fused. */
export function openFusedServer(daemon: FusedDaemon, keptBy: string, { onDrain, onQuiet }: CallHooks, log: Logger): GrpcServer {
  const self = { pid: process.pid, version: versionText(), keptBy }
  const quiet = setTimeout(onQuiet, QUIET).unref()
  const logged = requestLog(log, toStatus)
  const intercept: UnaryInterceptor = async (method, request, act) => {
    try {
      return await logged(method, request, act)
    } finally {
      quiet.refresh()
    }
  }
  const handlers = fusedService({ daemon, self, checked, onDrain })
  return new GrpcServer([{ service: Fused, handlers }], intercept, log)
}

function checked(options: readonly string[], faults: readonly string[]): ReturnType<Parameters<typeof fusedService>[0]['checked']> {
  const own = options.map(checkMountOption)
  if (own.includes('debug')) throw new UsageError("mount option 'debug' is dummy-fuse's; one daemon serves many volumes")
  const all = [...DEFAULT_OPTIONS, ...own]
  mountArguments(all)
  return { options: all, faults, fault: parseFaults(faults) }
}
