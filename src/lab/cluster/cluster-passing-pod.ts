import type { PassingPod } from '../cell/harness.ts'
import { until } from '../wait.ts'
import type { Around } from './cluster-consumer.ts'
import { PATHS } from './cluster-api.ts'
import { consumerPod, CONTAINERS } from './objects.ts'
import { containerOf } from './pods.ts'

/** Milliseconds for a pod to run, and to go away. */
const DEADLINE = 120_000

/** A pod of a cluster that comes and goes. */
export class ClusterPassingPod implements PassingPod {
  readonly #around: Around
  readonly #name: string
  #uid = ''

  constructor(around: Around) {
    this.#around = around
    this.#name = `${around.names.driver}-passing`
  }

  async arrive(): Promise<void> {
    const { api, names, placement, pods } = this.#around
    const kind = { id: 'passing', title: 'Passing pod', way: 'opens-anew', place: 'private', volume: 'struck' } as const
    const pod = consumerPod(names, placement, { ...kind, starts: 'before', exitsOnError: false }, { name: this.#name, flags: [] })
    this.#uid = (await api.create(PATHS.pods(names.run), pod)).metadata.uid
    const runs = (): boolean => containerOf(pods.get(this.#name), CONTAINERS.consumer)?.state.running != null
    await until('a pod is given the volume', runs, DEADLINE, 50)
  }

  async depart(): Promise<void> {
    const { api, names } = this.#around
    await api.remove(PATHS.pods(names.run), this.#name)
    const isGone = async (): Promise<boolean> => (await api.get(PATHS.pods(names.run), this.#name)) === undefined
    await until('the pod is gone', isGone, DEADLINE, 200)
  }

  async left(): Promise<string | undefined> {
    const { agent, names } = this.#around
    const target = names.target(this.#uid, 'struck')
    const lines = await agent.ask('mounts', { texts: [` ${target} `] })
    return lines.length === 0 ? undefined : `the volume is mounted again at ${target}, where it was unpublished before the failure`
  }
}
