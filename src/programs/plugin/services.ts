import { controller } from '../../csi/controller.ts'
import { identity } from '../../csi/identity.ts'
import { node } from '../../csi/node.ts'
import { toStatus } from '../../csi/status.ts'
import type { VolumeChecks } from '../../csi/validation.ts'
import { refuseUnknownToLibfuse } from '../../fuse/native/options.ts'
import { checkMountFlags, isMountOption, podMountOptions } from '../../fuse/mount-option-rules.ts'
import { requestLog } from '../../grpc/request-log.ts'
import { GrpcServer, type ServerLimits } from '../../grpc/server.ts'
import type { UnaryInterceptor } from '../../grpc/service.ts'
import { KubeletRegistration } from '../../kubelet/registration.ts'
import { RegistrationRecord } from '../../kubelet/registration-record.ts'
import type { Logger } from '../../log.ts'
import type { Libc } from '../../os/libc.ts'
import { Controller, Identity, Node } from '../../rpc/csi_pb.ts'
import { versionText } from '../../version.ts'
import { pathOf } from '../../volumes/mount-cache-entry.ts'
import { tidyAfterCalls } from '../tidy-after-calls.ts'
import type { PluginLimits } from './limits.ts'
import type { PluginOptions } from './options.ts'
import { programChecks } from './program-checks.ts'
import type { VolumeSystem } from './volumes.ts'

/** The dependencies of {@link openServer}. */
export interface ServerParts {
  readonly options: PluginOptions
  readonly limits: PluginLimits
  readonly log: Logger
}

/** What a server of the CSI services calls. */
export interface ServerHooks {
  /** Some time after the start, and after calls. */
  readonly tidy: () => void
  /** Returns why the kubelet does not use the plugin, undefined if it may. */
  readonly unavailableReason: () => string | undefined
  /** Returns an interceptor that stands around another one. */
  readonly around: (inner: UnaryInterceptor) => UnaryInterceptor
}

/** The gRPC server with the services that `--role` names. */
export function openServer(
  { options, limits: all, log }: ServerParts,
  { volumes, registry, locks, cache, spec }: VolumeSystem,
  { tidy, unavailableReason, around }: ServerHooks,
): GrpcServer {
  const { driverName, nodeId, roles, fuseBackend } = options
  const { tidyQuiet, tidyLatest } = all
  const isController = roles.has('controller')
  const checkFlags = (flags: readonly string[]): readonly string[] => {
    const checked = checkMountFlags(flags)
    if (fuseBackend === 'fuse-native') refuseUnknownToLibfuse(checked)
    return checked
  }
  const ofDummyFuse: VolumeChecks = { fsName: 'dummy-fuse', flags: checkFlags, ofPod: podMountOptions, isOption: isMountOption }
  const checks = spec === undefined ? ofDummyFuse : programChecks(spec)
  const usedAt = (volumeId: string): readonly string[] => {
    const { staged, published } = cache.of(volumeId)
    return [...published, ...staged].map(pathOf)
  }
  return new GrpcServer(
    [
      { service: Identity, handlers: identity(driverName, versionText(), isController, unavailableReason) },
      ...(roles.has('node') ? [{ service: Node, handlers: node(nodeId, volumes, checks) }] : []),
      { service: Controller, handlers: controller(registry, locks, usedAt, checks, isController) },
    ],
    tidyAfterCalls(around(requestLog(log, toStatus)), tidy, { quiet: tidyQuiet, latest: tidyLatest }),
    serverLimits(all),
    log,
  )
}

/** The plugin's registration with the kubelet; undefined if the command line asks for none. `onChange` is called after each change of it. */
export function newRegistration(
  { options: { registration, driverName, stateDir }, limits, log }: ServerParts,
  libc: Libc,
  onChange: () => void,
): KubeletRegistration | undefined {
  if (registration === undefined) return undefined
  const { unasked, registrationLook: look, registrationRename, registrationOverlooked, registrationRenameMost: longest } = limits
  return new KubeletRegistration({
    libc,
    driverName,
    ...registration,
    limits: {
      unasked,
      look,
      rename: { first: registrationRename, longest },
      overlooked: { first: registrationOverlooked, longest },
    },
    server: serverLimits(limits),
    intercept: requestLog(log, toStatus),
    record: new RegistrationRecord(stateDir, log),
    onChange,
    log,
  })
}

function serverLimits({ call, callMargin, connections, streams, handshake, drain, hangUp }: PluginLimits): ServerLimits {
  return { connections, streams, handshake, drain, hangUp, calls: { standard: call, longest: call, margin: callMargin } }
}
