import { hasListener } from '../os/sockets/unix-socket.ts'
import { type Command, withArgs } from './command.ts'
import { PLUGIN_FOLDER, SOCKET } from './node-paths.ts'
import type { ProcessLog } from './process-log.ts'
import { StartedProcess } from './started-process.ts'
import { until } from './wait.ts'

/** Stands in for the controller that keeps one plugin running on the node: `plugin-1`, `plugin-2` after its first restart. */
export class DaemonSet {
  readonly #plugin: () => Command
  readonly #place: readonly string[]
  readonly #newLog: (name: string) => ProcessLog
  #generation = 0

  /** `plugin`: the command as it is at each start. `place`: the flags that give the plugin its place on the node. */
  constructor(plugin: () => Command, newLog: (name: string) => ProcessLog, place = placeFlags()) {
    this.#plugin = plugin
    this.#place = place
    this.#newLog = newLog
  }

  /** Starts the plugin with these flags, and waits until its socket can be connected to. Throws an Error if it ends before. */
  async start(flags: readonly string[]): Promise<StartedProcess> {
    this.#generation++
    const log = this.#newLog(`plugin-${this.#generation}`)
    const plugin = await StartedProcess.start(withArgs(this.#plugin(), [...this.#place, ...flags]), log)
    const state = await until('the plugin listens', async () =>
      plugin.running ? (await hasListener(SOCKET)) && 'listens' : 'ended',
    )
    if (state === 'listens') return plugin
    throw new Error(`the plugin ended before it listened:\n${log.tail(5).join('\n')}`)
  }
}

/** Flags that give the plugin its place on the node. */
export function placeFlags(): readonly string[] {
  return ['--endpoint', `unix://${SOCKET}`, '--state-dir', PLUGIN_FOLDER, '--nodeid', 'lab-node']
}
