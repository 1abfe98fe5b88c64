import type { DaemonControl, PluginControl } from '../cell/harness.ts'
import type { Timeline } from '../cell/timeline.ts'
import { FUSED } from '../node-paths.ts'
import type { AgentLink } from './agent-link.ts'
import type { CellDaemonSet } from './daemon-set.ts'
import type { CellNames } from './names.ts'
import { fusedDaemonSet, type Placement } from './objects.ts'

/** Processes of a cell, and what a failure does to them by signals. */
abstract class SignalledDaemons {
  readonly #agent: AgentLink

  constructor(agent: AgentLink) {
    this.#agent = agent
  }

  abstract pids(): Promise<readonly number[]>

  async kill(): Promise<void> {
    await this.#agent.ask('signal', { pids: await this.pids(), signal: 'SIGKILL', until: 'gone' })
  }

  async hang(): Promise<void> {
    await this.#agent.ask('signal', { pids: await this.pids(), signal: 'SIGSTOP', until: 'stopped' })
  }

  async resume(): Promise<void> {
    await this.#agent.ask('signal', { pids: await this.pids(), signal: 'SIGCONT' })
  }
}

/** FUSE daemons in the plugin's container: the one of the volume that is struck, or the one of all volumes. */
export class ContainerDaemons extends SignalledDaemons implements DaemonControl {
  readonly #plugin: CellDaemonSet
  readonly #control: PluginControl
  readonly #comm: string
  readonly #path: string | undefined

  /** `path`: where the volume is staged, the last argument of the daemon of a volume; undefined: one daemon for all volumes. */
  constructor(agent: AgentLink, plugin: CellDaemonSet, control: PluginControl, path: string | undefined) {
    super(agent)
    this.#plugin = plugin
    this.#control = control
    this.#comm = path === undefined ? FUSED : 'dummy-fuse'
    this.#path = path
  }

  async pids(): Promise<readonly number[]> {
    return await this.#plugin.processes(this.#comm, this.#path)
  }

  /** The plugin starts them. */
  async start(): Promise<void> {
    await Promise.resolve()
  }

  /** They are upgraded with the plugin's container. */
  async upgrade(): Promise<void> {
    this.#control.replaceExecutable()
    await this.#control.restart()
  }
}

/** dummy-fused in a pod of its own, under keep, with the standby in the plugin's pod. */
export class FusedPod extends SignalledDaemons implements DaemonControl {
  readonly #daemonSet: CellDaemonSet
  readonly #names: CellNames
  readonly #placement: Placement
  readonly #timeline: Timeline
  #version = 0

  constructor(agent: AgentLink, daemonSet: CellDaemonSet, names: CellNames, placement: Placement, timeline: Timeline) {
    super(agent)
    this.#daemonSet = daemonSet
    this.#names = names
    this.#placement = placement
    this.#timeline = timeline
  }

  async pids(): Promise<readonly number[]> {
    return await this.#daemonSet.processes()
  }

  async start(): Promise<void> {
    await this.#daemonSet.create(fusedDaemonSet(this.#names, this.#placement, ++this.#version))
    this.#noteStart(await this.#daemonSet.succeeds([]), 'start')
  }

  /** A rolling update of its DaemonSet. */
  async upgrade(): Promise<void> {
    const before = await this.pids()
    await this.#daemonSet.update(fusedDaemonSet(this.#names, this.#placement, ++this.#version))
    await this.#daemonSet.ended(before)
    this.#noteStart(await this.#daemonSet.succeeds(before), 'restart')
  }

  #noteStart(pids: readonly number[], kind: 'start' | 'restart'): void {
    const [pid = 0] = pids
    this.#timeline.lane(FUSED, 'process', 'FUSE service', pid)
    this.#timeline.note(FUSED, kind, `process ${pid} listens`)
  }
}
