import type { DaemonControl, NodeControl, NodeEvidence, PluginControl } from '../cell/harness.ts'
import type { AgentLink } from './agent-link.ts'
import type { CellNames } from './names.ts'

/** What of a cell is on the node. */
interface OnNode {
  readonly plugin: PluginControl
  readonly daemons: DaemonControl
  readonly names: CellNames
  /** The pods of the plugin and of its daemons. */
  readonly podUids: () => readonly string[]
  /** Where volumes are published. */
  readonly targets: () => readonly string[]
}

/** The node of a cluster, on which the agent acts. */
export class ClusterNode implements NodeControl, NodeEvidence {
  readonly #agent: AgentLink
  readonly #on: OnNode

  constructor(agent: AgentLink, on: OnNode) {
    this.#agent = agent
    this.#on = on
  }

  async unmount(paths: readonly string[]): Promise<void> {
    await this.#agent.ask('unmount', { paths })
  }

  async abortConnections(): Promise<readonly number[]> {
    return [await this.#agent.ask('abort', { path: this.#on.names.staging('struck') })]
  }

  async limitDescriptors(): Promise<void> {
    await this.#agent.ask('limit', { pids: await this.#pids(), lift: false })
  }

  async liftDescriptorLimit(): Promise<void> {
    await this.#agent.ask('limit', { pids: await this.#pids(), lift: true })
  }

  async powerCut(): Promise<void> {
    await Promise.reject(new Error('the lab does not take the power from a node of a cluster'))
  }

  async powerOn(): Promise<void> {
    await this.powerCut()
  }

  async mounts(): Promise<readonly string[]> {
    return await this.#agent.ask('mounts', { texts: this.#on.names.mountTexts })
  }

  async holders(): Promise<readonly string[]> {
    return await this.#agent.ask('holders', { pods: this.#on.podUids() })
  }

  async disk(): Promise<readonly string[]> {
    return await this.#agent.ask('disk', { folders: this.#folders() })
  }

  /** Removes the files of this name that lie below the mount points: the kubelet removes empty folders only. */
  async tidy(name: string): Promise<void> {
    await this.#agent.ask('disk', { folders: this.#folders(), remove: name })
  }

  #folders(): readonly string[] {
    const { names, targets } = this.#on
    return [names.staging('struck'), names.staging('neighbour'), ...targets()]
  }

  async #pids(): Promise<readonly number[]> {
    const { plugin, daemons } = this.#on
    return [...(await plugin.pids()), ...(await daemons.pids())]
  }
}
