import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  type CapacityRange as CapacityRangeMessage,
  type Controller,
  ControllerServiceCapability_RPC_Type as Capability,
  type VolumeCapability,
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeSchema,
} from '../rpc/csi_pb.ts'
import { VolumeError } from '../volumes/errors.ts'
import type { VolumeLocks } from '../volumes/locks.ts'
import type { CapacityRange, VolumeRecord, VolumeRegistry } from '../volumes/registry.ts'
import type { UnaryHandlers } from '../grpc/service.ts'
import { page } from './page.ts'
import { requireCapability, requireId, requireParameters, unsupported, type VolumeChecks } from './validation.ts'

/** The part of the registry that the service calls. */
type Volumes = Pick<VolumeRegistry, 'create' | 'delete' | 'get' | 'list' | 'available'>

const CAPABILITIES = [
  Capability.CREATE_DELETE_VOLUME,
  Capability.LIST_VOLUMES,
  Capability.GET_CAPACITY,
  Capability.GET_VOLUME,
  Capability.SINGLE_NODE_MULTI_WRITER,
  Capability.GET_VOLUME_HEALTH,
  Capability.LIST_VOLUME_HEALTH,
]

/**
 * CSI's Controller service over the registry. Unless `advertised` it names no capabilities, but making, deleting and validating volumes
 * works: csi-sanity does that with every plugin. Its health speaks of records only, which are always there: that a volume is
 * INACCESSIBLE would mean on every node. `usedAt` returns where the Node service of this plugin has a volume staged or published; `locks` are those
 * that it holds meanwhile. CreateVolume needs none: a record is made without waiting for anything.
 */
export function controller(
  registry: Volumes,
  locks: VolumeLocks,
  usedAt: (volumeId: string) => readonly string[],
  checks: VolumeChecks,
  advertised: boolean,
): UnaryHandlers<typeof Controller> {
  const always: UnaryHandlers<typeof Controller> = {
    controllerGetCapabilities: () => ({
      capabilities: advertised ? CAPABILITIES.map((type) => ({ type: { case: 'rpc', value: { type } } })) : [],
    }),

    createVolume(request) {
      const name = requireId(request.name, 'name')
      requireCapabilities(request.volumeCapabilities, checks)
      if (request.volumeContentSource !== undefined) {
        throw new VolumeError('invalid', 'volume_content_source is not supported: there is nothing to copy a volume from')
      }
      if (Object.keys(request.mutableParameters).length > 0) {
        throw new VolumeError('invalid', 'mutable_parameters are not supported: nothing of a volume can be modified')
      }
      if (checks.program === undefined) refuseMisplaced(request.parameters, checks)
      const context = requireParameters(request.parameters, checks)
      return { volume: message(registry.create(name, range(request.capacityRange), request.parameters, context)) }
    },

    deleteVolume(request) {
      const volumeId = requireId(request.volumeId, 'volume_id')
      using _ = locks.take(volumeId, 'DeleteVolume')
      const [used] = usedAt(volumeId)
      if (used !== undefined) {
        throw new VolumeError('precondition', `volume ${volumeId} is in use at ${used}; unpublish and unstage it first`)
      }
      registry.delete(volumeId)
      return {}
    },

    validateVolumeCapabilities(request) {
      known(registry, request.volumeId)
      const { volumeCapabilities, volumeContext, parameters } = request
      if (volumeCapabilities.length === 0) throw new VolumeError('invalid', 'volume_capabilities is missing')
      const refusal = volumeCapabilities.map((capability) => refusalOf(capability, checks)).find((line) => line !== undefined)
      return refusal === undefined ? { confirmed: { volumeCapabilities, volumeContext, parameters } } : { message: refusal }
    },
  }
  if (!advertised) return always

  return {
    ...always,

    listVolumes(request) {
      const { items, nextToken } = page(registry.list(), request.maxEntries, request.startingToken)
      return { entries: items.map((record) => ({ volume: message(record), status: {} })), nextToken }
    },

    getCapacity(request) {
      const impossible = request.volumeCapabilities.some((capability) => unsupported(capability, checks) !== undefined)
      const availableCapacity = impossible ? 0n : BigInt(registry.available())
      return { availableCapacity, maximumVolumeSize: availableCapacity, minimumVolumeSize: 1n }
    },

    controllerGetVolume: (request) => ({ volume: message(known(registry, request.volumeId)), status: {} }),

    controllerGetVolumeHealth(request) {
      const { id } = known(registry, request.volumeId)
      return { volumeHealth: { volumeId: id } }
    },

    controllerListVolumeHealth(request) {
      // Volumes without anything wrong are left out (spec), and no record has.
      page(registry.list(), request.maxEntries, request.startingToken)
      return {}
    },
  }
}

function known(registry: Volumes, volumeId: string): VolumeRecord {
  const record = registry.get(requireId(volumeId, 'volume_id'))
  if (record === undefined) throw new VolumeError('missing', `volume ${volumeId} does not exist`)
  return record
}

function message({ id, name, capacity, context = { name } }: VolumeRecord): MessageInitShape<typeof VolumeSchema> {
  return { volumeId: id, capacityBytes: BigInt(capacity), volumeContext: { ...context } }
}

function requireCapabilities(capabilities: readonly VolumeCapability[], checks: VolumeChecks): void {
  if (capabilities.length === 0) throw new VolumeError('invalid', 'volume_capabilities is missing')
  for (const capability of capabilities) {
    const refusal = refusalOf(capability, checks)
    if (refusal !== undefined) throw new VolumeError('invalid', refusal)
  }
}

/**
 * No parameter has an effect, but for those of a program: a volume's name stands for them and nothing else. One with the name of a mount option is refused, because its author expects
 * an effect. The message holds no value, which may be a secret.
 */
function refuseMisplaced(parameters: Readonly<Record<string, string>>, { isOption }: VolumeChecks): void {
  const key = Object.keys(parameters).find((name) => /^mount_?(options|flags)$/i.test(name) || isOption(name))
  if (key === undefined) return
  throw new VolumeError(
    'invalid',
    `parameter '${key}' has no effect; mount options belong into mountOptions of the StorageClass, as mount flags of the capability`,
  )
}

/** Why a volume cannot have a capability; undefined if it can. A capability without an access mode asks for less than the Node service needs. */
function refusalOf(capability: VolumeCapability, checks: VolumeChecks): string | undefined {
  if (capability.accessType.case === undefined) return 'volume_capabilities has one that names neither mount nor block; name mount'
  const refusal = unsupported(capability, checks)
  if (refusal !== undefined || (capability.accessMode?.mode ?? Mode.UNKNOWN) === Mode.UNKNOWN) return refusal
  try {
    requireCapability(capability, checks)
    return undefined
  } catch (error) {
    if (error instanceof VolumeError) return error.message
    throw error
  }
}

function range(message: CapacityRangeMessage | undefined): CapacityRange {
  const bytes = (value: bigint, field: string): number => {
    if (value < 0n) throw new VolumeError('invalid', `capacity_range.${field} is negative`)
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new VolumeError('range', `capacity_range.${field} ${value} is more than any volume can have`)
    return Number(value)
  }
  if (message === undefined) return { required: 0, limit: 0 }
  return { required: bytes(message.requiredBytes, 'required_bytes'), limit: bytes(message.limitBytes, 'limit_bytes') }
}
