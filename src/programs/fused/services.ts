import { UsageError } from '../../errors.ts'
import type { FusedDaemon } from '../../fused/daemon.ts'
import { fusedService } from '../../fused/service.ts'
import { toStatus } from '../../fused/status.ts'
import { checkMountOptions, checkTogether, DEFAULT_OPTIONS, settleMountOptions } from '../../fuse/mount-option-rules.ts'
import { requestLog } from '../../grpc/request-log.ts'
import { GrpcServer } from '../../grpc/server.ts'
import type { Logger } from '../../log.ts'
import { pidNamespace, processStat } from '../../os/processes/processes.ts'
import { Fused } from '../../rpc/fused_pb.ts'
import { versionText } from '../../version.ts'
import { parseFaults } from '../dummy-fuse/faults.ts'
import { tidyAfterCalls } from '../tidy-after-calls.ts'
import { FUSED_LIMITS } from './limits.ts'

/** Called beside calls. */
export interface CallHooks {
  /** When Drain has been answered. */
  readonly onDrain: () => void
  /** Some time after the start, and some time after calls. */
  readonly tidy: () => void
}

/** The gRPC server of dummy-fused. */
export function openFusedServer(daemon: FusedDaemon, keptBy: string, { onDrain, tidy }: CallHooks, log: Logger): GrpcServer {
  const { pid } = process
  const self = { pid, version: versionText(), keptBy, start: processStat(pid)?.start ?? '', pidNamespace: pidNamespace() }
  const intercept = tidyAfterCalls(requestLog(log, toStatus), tidy, {
    quiet: FUSED_LIMITS.tidyQuiet,
    latest: FUSED_LIMITS.tidyLatest,
  })
  const handlers = fusedService({ daemon, self, checked, onDrain })
  const { standardCall: standard, longestCall: longest, callMargin: margin, ...limits } = FUSED_LIMITS
  return new GrpcServer([{ service: Fused, handlers }], intercept, { ...limits, calls: { standard, longest, margin } }, log)
}

function checked(options: readonly string[], faults: readonly string[]): ReturnType<Parameters<typeof fusedService>[0]['checked']> {
  const own = checkMountOptions(options)
  checkTogether(own)
  if (own.includes('debug')) throw new UsageError("mount option 'debug' is dummy-fuse's; one daemon serves many volumes")
  return { options: settleMountOptions([...DEFAULT_OPTIONS, ...own]), faults, fault: parseFaults(faults) }
}
