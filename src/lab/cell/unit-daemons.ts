import { type Command, withArgs } from '../command.ts'
import { FUSED, FUSED_FLAGS } from '../node-paths.ts'
import { until } from '../wait.ts'
import type { PrivateDaemons } from './private-harness.ts'
import { killAll, processesOf, signalAll, stopAll } from './node-processes.ts'
import { Replaceable } from './replaceable.ts'
import type { Timeline } from './timeline.ts'
import { Unit } from './unit.ts'

/** dummy-fused as a service whose descriptors systemd holds, as systemd/dummy-fused.service has it. */
export class UnitDaemons implements PrivateDaemons, Disposable {
  readonly #program: Replaceable
  readonly #unit: Unit

  constructor(fused: Command, slice: string, timeline: Timeline) {
    this.#program = new Replaceable(fused, 'fused')
    this.#unit = new Unit(slice, FUSED, timeline)
  }

  async pids(): Promise<readonly number[]> {
    return await Promise.resolve(this.#pids)
  }

  async start(): Promise<void> {
    const properties = ['FileDescriptorStoreMax=4096', 'LimitNOFILE=65536']
    await this.#unit.create(withArgs(this.#program.command, FUSED_FLAGS), properties)
  }

  /** systemd starts the next one at once, so the old one's end is what is waited for. */
  async kill(): Promise<void> {
    await killAll(this.#pids)
  }

  async upgrade(): Promise<void> {
    this.#program.replace()
    const before = await this.#unit.mainPid()
    await this.#unit.control('restart')
    await this.#unit.succeeds(before)
  }

  async hang(): Promise<void> {
    await stopAll(this.#pids)
  }

  async resume(): Promise<void> {
    signalAll(this.#pids, 'SIGCONT')
    await Promise.resolve()
  }

  /** SIGSTOP keeps the daemon from ending in order, and `systemctl stop` keeps systemd from starting it again. */
  async crash(): Promise<void> {
    await this.hang()
    await this.#unit.control('stop', '--no-block')
    signalAll(this.#pids, 'SIGKILL')
    await until('the daemon is gone', () => this.#pids.length === 0)
    await until('systemd has forgotten it', async () => (await this.#unit.mainPid()) === undefined)
  }

  [Symbol.dispose](): void {
    this.#unit[Symbol.dispose]()
  }

  get #pids(): readonly number[] {
    return processesOf(FUSED)
  }
}
