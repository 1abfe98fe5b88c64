import { hasListener } from '../../os/sockets/unix-socket.ts'
import { type Command, withArgs } from '../command.ts'
import { FUSED, FUSED_FLAGS, FUSED_SOCKET } from '../node-paths.ts'
import { StartedProcess } from '../started-process.ts'
import { until } from '../wait.ts'
import type { PrivateDaemons } from './private-harness.ts'
import { killAll, processesOf, signalAll, stopAll } from './node-processes.ts'
import { Replaceable } from './replaceable.ts'
import type { Timeline } from './timeline.ts'

const LANE = 'keep'

/** dummy-fused under the keeper, which holds its descriptors. */
export class KeeperDaemons implements PrivateDaemons {
  readonly #keep: Command
  readonly #program: Replaceable
  readonly #timeline: Timeline
  #keeper: StartedProcess | undefined

  constructor(keep: Command, fused: Command, timeline: Timeline) {
    this.#keep = keep
    this.#program = new Replaceable(fused, 'fused')
    this.#timeline = timeline
  }

  async pids(): Promise<readonly number[]> {
    return await Promise.resolve(this.#pids)
  }

  /** The keeper takes a program without a name of its own, so a link's name chooses it. */
  async start(): Promise<void> {
    const { executable, args } = this.#program.command
    const log = this.#timeline.newLog(LANE)
    const keeper = await StartedProcess.start(withArgs(this.#keep, ['--', executable, ...args, ...FUSED_FLAGS]), log)
    this.#keeper = keeper
    this.#timeline.lane(LANE, 'process', 'Keeper', keeper.pid)
    this.#timeline.note(LANE, 'start', `process ${keeper.pid}`)
    await until('dummy-fused listens', async () => {
      if (!keeper.running) throw new Error(`the keeper ended: ${log.tail(3).join(' ')}`)
      return await hasListener(FUSED_SOCKET)
    })
  }

  async kill(): Promise<void> {
    await killAll(this.#pids)
  }

  /** SIGHUP: the daemon drains, and the file that is at its path now is started. */
  async upgrade(): Promise<void> {
    this.#program.replace()
    const before = this.#pids
    this.#keeper?.kill('SIGHUP')
    await until('another daemon serves', () => this.#pids.length > 0 && this.#pids.every((pid) => !before.includes(pid)))
  }

  async hang(): Promise<void> {
    await stopAll(this.#pids)
  }

  async resume(): Promise<void> {
    signalAll(this.#pids, 'SIGCONT')
    await Promise.resolve()
  }

  async crash(): Promise<void> {
    this.#keeper?.kill()
    await this.#keeper?.ended()
    signalAll(this.#pids, 'SIGKILL')
    await until('the daemon is gone', () => this.#pids.length === 0)
    this.#timeline.note(LANE, 'end', 'gone with the machine')
  }

  get #pids(): readonly number[] {
    return processesOf(FUSED)
  }
}
