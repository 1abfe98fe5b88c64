import { messageOf } from '../../errors.ts'
import { until } from '../wait.ts'
import type { AgentLink } from './agent-link.ts'
import { type ClusterApi, PATHS } from './cluster-api.ts'
import { CELL_LABEL, type CellNames, COMPONENT_LABEL } from './names.ts'
import { daemonSetName, type KubeObject } from './objects.ts'
import { type Pods, type PodState, troubleOf } from './pods.ts'

/** Milliseconds for a pod of a DaemonSet to run: its image may have to be pulled, and a kubelet waits before it starts a container again. */
const START_DEADLINE = 180_000

/** Milliseconds for the processes of a pod to end: longer than the grace period of each pod. */
const END_DEADLINE = 90_000

/** What a DaemonSet of a cell is made of. */
interface DaemonSetParts {
  readonly api: ClusterApi
  readonly agent: AgentLink
  readonly pods: Pods
  readonly names: CellNames
}

/** A DaemonSet of a cell, and the processes of its pod on the node. */
export class CellDaemonSet {
  readonly #parts: DaemonSetParts
  readonly #component: 'plugin' | 'fused'
  /** The name of its main process, as `ps -o comm` shows it. */
  readonly #comm: string
  readonly #socket: string

  constructor(parts: DaemonSetParts, component: 'plugin' | 'fused', comm: string, socket: string) {
    this.#parts = parts
    this.#component = component
    this.#comm = comm
    this.#socket = socket
  }

  async create(object: KubeObject): Promise<void> {
    const { api, names } = this.#parts
    await api.create(PATHS.daemonSets(names.run), object)
  }

  /** A rolling update: the DaemonSet's controller deletes the pod and makes one of the new template. */
  async update(object: KubeObject): Promise<void> {
    const { api, names } = this.#parts
    await api.replaceSpec(PATHS.daemonSets(names.run), daemonSetName(names, this.#component), object)
  }

  /** Deletes its pod, and the controller makes another one. */
  async deletePod(): Promise<void> {
    const { api, names } = this.#parts
    for (const { metadata } of this.#pods()) await api.remove(PATHS.pods(names.run), metadata.name)
  }

  /** The uids of its pods, those that are about to end included. */
  get podUids(): readonly string[] {
    return this.#pods().map(({ metadata }) => metadata.uid)
  }

  /** The processes of its pods that have a name, by default that of its main process. */
  async processes(comm = this.#comm, last?: string): Promise<readonly number[]> {
    const { agent, api } = this.#parts
    const pods = this.podUids
    if (pods.length === 0) return []
    return await agent.ask('processes', { pods, comm, ...(last === undefined ? {} : { last }) }, api.signal)
  }

  /** Resolves, to its main processes, when there is one that is none of these, and its socket can be connected to. Rejects with the trouble of its pod. */
  async succeeds(before: readonly number[]): Promise<readonly number[]> {
    const { agent, api } = this.#parts
    const runs = async (): Promise<readonly number[] | undefined> => {
      const now = (await this.processes()).filter((pid) => !before.includes(pid))
      return now.length > 0 && (await agent.ask('listens', { socket: this.#socket }, api.signal)) ? now : undefined
    }
    const name = daemonSetName(this.#parts.names, this.#component)
    try {
      return await until(`the pod of ${name} listens`, runs, START_DEADLINE, 100)
    } catch (error) {
      const trouble = this.#pods().map(troubleOf)
      const why = trouble.find((one) => one !== undefined) ?? (await this.#lastFailure(name))
      throw why === undefined ? error : new Error(`${messageOf(error)}; ${why}`, { cause: error })
    }
  }

  /** Resolves when these processes have ended. */
  async ended(pids: readonly number[]): Promise<void> {
    const { agent, api } = this.#parts
    await agent.ask('ended', { pids, deadline: END_DEADLINE }, api.signal, END_DEADLINE + 5000)
  }

  /** The controller says in events of the DaemonSet why it cannot create a pod, and the kubelet in events of the pod why it cannot start one. */
  async #lastFailure(daemonSet: string): Promise<string | undefined> {
    const { api, names } = this.#parts
    for (const name of [...this.#pods().map(({ metadata }) => metadata.name), daemonSet]) {
      const failure = await api.lastFailure(names.run, name).catch(() => undefined)
      if (failure !== undefined) return failure
    }
    return undefined
  }

  #pods(): readonly PodState[] {
    const { pods, names } = this.#parts
    return pods.labelled(CELL_LABEL, names.driver).filter(({ metadata }) => metadata.labels[COMPONENT_LABEL] === this.#component)
  }
}
