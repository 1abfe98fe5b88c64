import { array, object, optional, string } from 'valibot'
import type { ApiServer } from '../kubernetes/api-server.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Clock } from '../os/clock.ts'
import { checked } from '../schema.ts'
import { type Pod, podName } from './pod.ts'

const NODE = object({
  status: optional(object({ conditions: optional(array(object({ type: string(), status: string() })), []) }), { conditions: [] }),
})
const CSI_NODE = object({ spec: object({ drivers: array(object({ name: string() })) }) })

/**
 * Knows the nodes whose kubelets do not keep the health of volumes up to date: a kubelet that is away, or that has no plugin to ask, leaves the pods'
 * status as it was.
 */
export class Nodes {
  readonly #api: ApiServer
  readonly #clock: Clock
  readonly #pause: number
  readonly #log: Logger
  /** By the node's name and the driver's, when the node is looked at again. Milliseconds of Clock.monotonic. */
  readonly #silent = new Map<string, Map<string, number>>()

  /** `pause`: milliseconds after which a node is looked at again that was found silent. */
  constructor(api: ApiServer, clock: Clock, pause: number, log: Logger) {
    this.#api = api
    this.#clock = clock
    this.#pause = pause
    this.#log = log
  }

  /** When a node is looked at again that {@link isSilent} has found silent; undefined for another one. */
  lookAt({ node }: Pod, driver: string | undefined): number | undefined {
    return this.#silent.get(node ?? '')?.get(driver ?? '')
  }

  /**
   * Whether the kubelet of a pod's node does not keep the health of the driver's volumes up to date; without a driver, of any. Says so in the log when that
   * begins. A pod without a node has none. Rejects with Error.
   */
  async isSilent(pod: Pod, driver: string | undefined, signal: AbortSignal): Promise<boolean> {
    const { node } = pod
    if (node === undefined) return false
    const why = await this.#silenceOf(node, driver, signal)
    const drivers = this.#silent.get(node) ?? new Map<string, number>()
    if (why === undefined) {
      drivers.delete(driver ?? '')
      return false
    }
    if (!drivers.has(driver ?? '')) {
      const others = `as are others of node ${node}`
      this.#log.info(
        `Pod ${podName(pod)} is left alone, ${others}: ${why}, so what the pod's status says of its volumes may be old`,
      )
    }
    this.#silent.set(node, drivers.set(driver ?? '', this.#clock.monotonic() + this.#pause))
    return true
  }

  /** Forgets the other nodes. */
  keep(nodes: ReadonlySet<string | undefined>): void {
    for (const node of this.#silent.keys()) if (!nodes.has(node)) this.#silent.delete(node)
  }

  async #silenceOf(node: string, driver: string | undefined, signal: AbortSignal): Promise<string | undefined> {
    const found = await this.#get('/api/v1/nodes', node, signal)
    if (found === undefined) return 'the node does not exist'
    const { conditions } = checked(NODE, found).status
    if (!conditions.some(({ type, status }) => type === 'Ready' && status === 'True')) return 'the node is not ready'
    if (driver === undefined) return undefined
    const csiNode = await this.#get('/apis/storage.k8s.io/v1/csinodes', node, signal)
    const drivers = csiNode === undefined ? [] : checked(CSI_NODE, csiNode).spec.drivers
    return drivers.some(({ name }) => name === driver) ? undefined : `its kubelet has no plugin of driver ${driver}`
  }

  async #get(collection: string, name: string, signal: AbortSignal): Promise<unknown> {
    try {
      return await this.#api.find(`${collection}/${encodeURIComponent(name)}`, { signal })
    } catch (error) {
      signal.throwIfAborted()
      throw new Error(`cannot get ${collection}/${name}: ${messageOf(error)}`, { cause: error })
    }
  }
}
