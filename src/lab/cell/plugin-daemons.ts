import { processesNamed } from '../../os/processes/processes.ts'
import { until } from '../wait.ts'
import type { PluginControl } from './harness.ts'
import { isOnNode, killAll, processesOf, signalAll, stopAll } from './node-processes.ts'
import type { PrivateDaemons } from './private-harness.ts'

/** Processes that the plugin has started: the one of them that serves the volume which the failure strikes. */
export class PluginDaemons implements PrivateDaemons {
  readonly #plugin: PluginControl
  readonly #comms: readonly string[]
  readonly #path: string | undefined

  /** `comms`: the names that `ps -o comm` shows. `path`: where the volume is staged, the last argument of the daemon of a volume; undefined: each of them serves it. */
  constructor(plugin: PluginControl, comms: readonly string[], path?: string) {
    this.#plugin = plugin
    this.#comms = comms
    this.#path = path
  }

  async pids(): Promise<readonly number[]> {
    return await Promise.resolve(this.#pids)
  }

  get #pids(): readonly number[] {
    if (this.#path === undefined) return this.#comms.flatMap(processesOf)
    return processesNamed(...this.#comms)
      .filter(({ stat, args }) => args.at(-1) === this.#path && isOnNode(stat.pid))
      .map(({ stat }) => stat.pid)
  }

  /** The plugin starts them. */
  async start(): Promise<void> {
    await Promise.resolve()
  }

  async kill(): Promise<void> {
    await killAll(this.#pids)
  }

  async crash(): Promise<void> {
    await killAll(this.#comms.flatMap(processesOf))
  }

  /** Nobody can hand a session over: the daemon unmounts and ends, and the plugin has to start the next one. */
  async upgrade(): Promise<void> {
    this.#plugin.replaceExecutable()
    signalAll(this.#pids, 'SIGTERM')
    await until('the daemons end', () => this.#pids.length === 0)
    await this.#plugin.restart()
  }

  async hang(): Promise<void> {
    await stopAll(this.#pids)
  }

  async resume(): Promise<void> {
    signalAll(this.#pids, 'SIGCONT')
    await Promise.resolve()
  }
}
