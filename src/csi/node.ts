import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  type Node,
  type NodeGetStorageHealthResponseSchema,
  NodeServiceCapability_RPC_Type as Capability,
  StorageHealthErrorType,
  VolumeHealthErrorType,
  VolumeUsage_Unit as Unit,
} from '../rpc/csi_pb.ts'
import type { NodeVolumes } from '../volumes/checked-volumes.ts'
import { shortened } from '../printable.ts'
import type { UnaryHandlers } from '../grpc/service.ts'
import { mountedFrom, requireCapability, requireId, requirePath, type VolumeChecks, withPodOptions } from './validation.ts'
import { readPublishContext } from './volume-context.ts'

const CAPABILITIES = [
  Capability.STAGE_UNSTAGE_VOLUME,
  Capability.GET_VOLUME_STATS,
  Capability.SINGLE_NODE_MULTI_WRITER,
  Capability.GET_VOLUME_HEALTH,
  Capability.GET_STORAGE_HEALTH,
]

/**
 * How much of a volume's health the API server of Kubernetes takes into a pod's status: findings, and bytes of a message. It refuses the whole status that has more
 * (pkg/apis/core/validation).
 */
const MOST_FINDINGS = 16
const LONGEST_MESSAGE = 1024

/** CSI's Node service: checks each request, and has the volumes do it. */
export function node(nodeId: string, volumes: NodeVolumes, checks: VolumeChecks): UnaryHandlers<typeof Node> {
  return {
    nodeGetInfo: () => ({ nodeId }),
    nodeGetCapabilities: () => ({ capabilities: CAPABILITIES.map((type) => ({ type: { case: 'rpc', value: { type } } })) }),

    async nodeStageVolume(request, call) {
      const staged = {
        volumeId: requireId(request.volumeId, 'volume_id'),
        stagingPath: requirePath(request.stagingTargetPath, 'staging_target_path'),
        capability: requireCapability(request.volumeCapability, checks),
        ...mountedFrom(request.volumeContext, request.secrets, checks, 'stage'),
      }
      await volumes.stage(staged, call)
      return {}
    },

    async nodeUnstageVolume(request, call) {
      const volumeId = requireId(request.volumeId, 'volume_id')
      await volumes.unstage(volumeId, requirePath(request.stagingTargetPath, 'staging_target_path'), call)
      return {}
    },

    async nodePublishVolume(request, call) {
      const volumeId = requireId(request.volumeId, 'volume_id')
      const targetPath = requirePath(request.targetPath, 'target_path')
      const { ephemeral, pod, attributes, mountOptions } = readPublishContext(request.volumeContext, checks.program !== undefined)
      const capability = withPodOptions(requireCapability(request.volumeCapability, checks), mountOptions, checks)
      const staging = request.stagingTargetPath
      const stagingPath = staging === '' ? undefined : requirePath(staging, 'staging_target_path')
      const from = ephemeral
        ? mountedFrom(attributes, request.secrets, checks, 'ephemeral')
        : mountedFrom(request.volumeContext, request.secrets, checks, 'publish')
      const publish = { volumeId, stagingPath, targetPath, readonly: request.readonly, capability, ...from }
      await volumes.publish({ ...publish, ...(ephemeral ? { ephemeral } : {}), ...(pod === undefined ? {} : { pod }) }, call)
      return {}
    },

    async nodeUnpublishVolume(request, call) {
      const volumeId = requireId(request.volumeId, 'volume_id')
      await volumes.unpublish(volumeId, requirePath(request.targetPath, 'target_path'), call)
      return {}
    },

    async nodeGetVolumeStats(request, call) {
      const volumeId = requireId(request.volumeId, 'volume_id')
      // No volume is at a relative path; the spec asks for NOT_FOUND.
      const path = /^[^/]/.test(request.volumePath) ? request.volumePath : requirePath(request.volumePath, 'volume_path')
      const { blockSize, blocks, blocksFree, blocksAvailable, files, filesFree } = await volumes.usage(volumeId, path, call)
      const bytes = { available: blocksAvailable * blockSize, total: blocks * blockSize, used: (blocks - blocksFree) * blockSize }
      const inodes = { available: filesFree, total: files, used: files - filesFree }
      const usage = [
        { unit: Unit.BYTES, ...bytes },
        { unit: Unit.INODES, ...inodes },
      ]
      return {
        usage: usage.map(({ unit, available, total, used }) => ({
          unit,
          available: BigInt(available),
          total: BigInt(total),
          used: BigInt(used),
        })),
      }
    },

    async nodeGetVolumeHealth(request, call) {
      const volumeId = requireId(request.volumeId, 'volume_id')
      const { volumePublishPath: target, stagingTargetPath: staging } = request
      const asked = {
        ...(target === '' ? {} : { target: requirePath(target, 'volume_publish_path') }),
        ...(staging === '' ? {} : { staging: requirePath(staging, 'staging_target_path') }),
      }
      const findings = await volumes.health(volumeId, asked, call)
      const healthStatuses = findings.slice(0, MOST_FINDINGS).map(({ reason, message }) => ({
        status: VolumeHealthErrorType.INACCESSIBLE,
        reason,
        message: shortened(message, LONGEST_MESSAGE),
      }))
      return { volumeHealth: { volumeId, healthStatuses } }
    },

    nodeGetStorageHealth: () => storageHealth(volumes.unavailableReason()),
  }
}

function storageHealth(trouble: string | undefined): MessageInitShape<typeof NodeGetStorageHealthResponseSchema> {
  if (trouble === undefined) return {}
  return {
    backendHealth: [
      {
        status: StorageHealthErrorType.STORAGE_UNREACHABLE,
        reason: 'FuseDeviceUnusable',
        message: shortened(trouble, LONGEST_MESSAGE),
      },
    ],
  }
}
