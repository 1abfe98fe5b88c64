import { type Command, withArgs } from '../command.ts'
import { until } from '../wait.ts'
import type { PluginControl } from './harness.ts'
import { signalAll } from './node-processes.ts'
import { Replaceable } from './replaceable.ts'
import type { Timeline } from './timeline.ts'
import { Unit } from './unit.ts'

const LANE = 'plugin'

/** The plugin as a service of systemd's, as systemd/dummy-fuse-csi.service has it. */
export class UnitPlugin implements PluginControl, Disposable {
  readonly #program: Replaceable
  readonly #flags: readonly string[]
  readonly #timeline: Timeline
  readonly #unit: Unit
  #pid: number | undefined
  #restarting = false

  constructor(plugin: Command, flags: readonly string[], slice: string, timeline: Timeline) {
    this.#program = new Replaceable(plugin, 'plugin')
    this.#flags = flags
    this.#timeline = timeline
    this.#unit = new Unit(slice, LANE, timeline)
  }

  async pids(): Promise<readonly number[]> {
    return await Promise.resolve(this.#pid === undefined ? [] : [this.#pid])
  }

  async start(flaw: readonly string[] = []): Promise<void> {
    const first = !this.#restarting
    if (first) await this.#unit.create(withArgs(this.#program.command, [...this.#flags, ...flaw]), [])
    this.#pid = await this.#unit.succeeds(this.#pid)
    this.#restarting = false
    this.#timeline.lane(LANE, 'process', 'CSI plugin', this.#pid)
    this.#timeline.note(LANE, first ? 'start' : 'restart', `process ${this.#pid} is ready`)
  }

  async kill(): Promise<void> {
    this.#restarting = true
    signalAll(await this.pids(), 'SIGKILL')
    await this.#ended()
  }

  /** The first half of `systemctl restart`; `start` waits for the second. */
  async stop(): Promise<void> {
    this.#restarting = true
    await this.#unit.control('restart', '--no-block')
    await this.#ended()
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  replaceExecutable(): void {
    this.#program.replace()
  }

  async #ended(): Promise<void> {
    const pid = this.#pid
    await until('the plugin ends', async () => (await this.#unit.mainPid()) !== pid)
    this.#timeline.note(LANE, 'end', `process ${pid ?? '?'} ended`)
  }

  [Symbol.dispose](): void {
    this.#unit[Symbol.dispose]()
  }
}
