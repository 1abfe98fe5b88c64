import { GrpcClient } from '../grpc/client.ts'
import { Controller, ControllerServiceCapability_RPC_Type as Rpc } from '../rpc/csi_pb.ts'
import { capabilityOf, secretsOf, type Volume } from './kubelet.ts'

/** What a volume is created by. */
export interface Creation {
  /** Of the StorageClass. */
  readonly parameters: Readonly<Record<string, string>>
  /** The capacity range, in bytes; 0: not given. */
  readonly capacity: { readonly required: number; readonly limit: number }
}

/** Creates and deletes volumes as the external-provisioner of Kubernetes does, by the controller service on the plugin's socket. */
export class Provisioner {
  readonly #socket: string
  readonly #deadline: number

  /** `deadline`: milliseconds for one call. */
  constructor(socket: string, deadline: number) {
    this.#socket = socket
    this.#deadline = deadline
  }

  /**
   * CreateVolume. `name`: the same for each attempt, so that they create one volume. Returns the volume with the id and the context that the answer has. Rejects with CallError, and with an Error if the driver
   * creates no volumes.
   */
  async create(volume: Volume, name: string, { parameters, capacity }: Creation): Promise<Volume> {
    using client = new GrpcClient(this.#socket)
    const { capabilities } = await client.call(Controller.method.controllerGetCapabilities, {}, this.#deadline)
    const creates = capabilities.some(({ type }) => type.case === 'rpc' && type.value.type === Rpc.CREATE_DELETE_VOLUME)
    if (!creates) throw new Error('the driver has no CREATE_DELETE_VOLUME; leave create out of its file, and give volume.id')
    const request = {
      name,
      parameters: { ...parameters },
      volumeCapabilities: [capabilityOf(volume)],
      secrets: secretsOf(volume, 'controllerCreate'),
    }
    const { required, limit } = capacity
    const range = required > 0 || limit > 0 ? { requiredBytes: BigInt(required), limitBytes: BigInt(limit) } : undefined
    const answer = await client.call(
      Controller.method.createVolume,
      { ...request, ...(range === undefined ? {} : { capacityRange: range }) },
      this.#deadline,
    )
    const { volumeId = '', volumeContext = {} } = answer.volume ?? {}
    if (volumeId === '') throw new Error('the answer to CreateVolume has no volume id')
    return { ...volume, id: volumeId, volumeContext: { ...volumeContext } }
  }

  /** DeleteVolume. Rejects with CallError. */
  async delete(volume: Volume): Promise<void> {
    using client = new GrpcClient(this.#socket)
    const secrets = secretsOf(volume, 'controllerDelete')
    await client.call(Controller.method.deleteVolume, { volumeId: volume.id, secrets }, this.#deadline)
  }
}
