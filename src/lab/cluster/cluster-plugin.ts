import type { PluginControl } from '../cell/harness.ts'
import type { Timeline } from '../cell/timeline.ts'
import type { Mitigation } from '../mitigations.ts'
import type { AgentLink } from './agent-link.ts'
import type { CellDaemonSet } from './daemon-set.ts'
import type { CellNames } from './names.ts'
import { type Placement, pluginDaemonSet } from './objects.ts'

const LANE = 'plugin'

/** What the plugin of a cell is made of. */
interface PluginParts {
  readonly daemonSet: CellDaemonSet
  readonly agent: AgentLink
  readonly names: CellNames
  readonly placement: Placement
  readonly mitigation: Pick<Mitigation, 'hosting' | 'pluginFlags'>
  /** Further flags of `serve` at each start. */
  readonly flags: readonly string[]
  readonly timeline: Timeline
}

/** The plugin as the pod of a DaemonSet. What ends is started again by the kubelet or the DaemonSet's controller, at once. */
export class ClusterPlugin implements PluginControl {
  readonly #parts: PluginParts
  #version = 0
  #flaw: readonly string[] = []
  /** The processes that it had before it was last made to end. */
  #before: readonly number[] = []
  #replaced = false

  constructor(parts: PluginParts) {
    this.#parts = parts
  }

  async pids(): Promise<readonly number[]> {
    return await this.#parts.daemonSet.processes()
  }

  async start(flaw: readonly string[] = []): Promise<void> {
    const { daemonSet, timeline } = this.#parts
    const first = this.#version === 0
    if (first) {
      this.#flaw = flaw
      await daemonSet.create(this.#template())
    }
    const [pid = 0] = await daemonSet.succeeds(this.#before)
    timeline.lane(LANE, 'process', 'CSI plugin', pid)
    timeline.note(LANE, first ? 'start' : 'restart', `process ${pid} listens`)
  }

  async kill(): Promise<void> {
    this.#before = await this.pids()
    await this.#parts.agent.ask('signal', { pids: this.#before, signal: 'SIGKILL', until: 'gone' })
    this.#noteEnd('SIGKILL')
  }

  /** Deletes the pod. If the executable was replaced, or the plugin is flawed, the DaemonSet gets a new template instead: a rolling update. */
  async stop(): Promise<void> {
    const { daemonSet } = this.#parts
    this.#before = await this.pids()
    if (this.#replaced || this.#flaw.length > 0) {
      this.#flaw = []
      this.#replaced = false
      await daemonSet.update(this.#template())
    } else await daemonSet.deletePod()
    await daemonSet.ended(this.#before)
    this.#noteEnd('SIGTERM')
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  replaceExecutable(): void {
    this.#replaced = true
  }

  #template(): ReturnType<typeof pluginDaemonSet> {
    const { names, placement, mitigation, flags } = this.#parts
    return pluginDaemonSet(names, placement, mitigation, { version: ++this.#version, further: [...flags, ...this.#flaw] })
  }

  #noteEnd(signal: string): void {
    this.#parts.timeline.note(LANE, 'end', `process ${this.#before.join(', ')} ended by ${signal}`)
  }
}
