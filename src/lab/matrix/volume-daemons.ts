import { processStat } from '../../os/processes.ts'
import { until } from '../wait.ts'
import type { DaemonControl, PluginControl } from './bench.ts'
import { killServers, signal } from './container-plugin.ts'
import { servers } from './process-watch.ts'

/** A process for each volume, which the plugin has started. */
export class VolumeDaemons implements DaemonControl {
  readonly #plugin: PluginControl
  readonly #comms: readonly string[]

  /** `comms`: the names that `ps -o comm` shows. */
  constructor(plugin: PluginControl, comms: readonly string[]) {
    this.#plugin = plugin
    this.#comms = comms
  }

  get pids(): readonly number[] {
    return this.#comms.flatMap(servers)
  }

  /** The plugin starts them. */
  async start(): Promise<void> {
    await Promise.resolve()
  }

  async kill(): Promise<void> {
    await killServers(this.#comms)
  }

  async crash(): Promise<void> {
    await this.kill()
  }

  /** Nobody can hand a session over: the daemon unmounts and ends, and the plugin has to start the next one. */
  async upgrade(): Promise<void> {
    this.#plugin.replaceExecutable()
    for (const pid of this.pids) signal(pid, 'SIGTERM')
    await until('the daemons end', () => this.pids.length === 0)
    await this.#plugin.restart()
  }

  async hang(): Promise<void> {
    await hang(this.pids)
  }

  resume(): void {
    for (const pid of this.pids) signal(pid, 'SIGCONT')
  }
}

/** Stops processes; resolves when they have stopped. */
export async function hang(pids: readonly number[]): Promise<void> {
  for (const pid of pids) signal(pid, 'SIGSTOP')
  await until('the daemons have stopped', () =>
    pids.every((pid) => processStat(pid)?.state !== 'R' && processStat(pid)?.state !== 'S'),
  )
}
