import { processStat } from '../../os/processes/processes.ts'
import { DaemonSet } from '../daemon-set.ts'
import type { Clock } from '../clock.ts'
import { ProcessLog } from '../process-log.ts'
import type { StartedProcess } from '../started-process.ts'
import { until } from '../wait.ts'
import type { PluginControl } from './cell-harness.ts'
import { servers } from './process-watch.ts'
import type { Program } from './replaceable.ts'
import type { Timeline } from './timeline.ts'

const LANE = 'plugin'

/** What a container of the plugin's is made of. */
export interface Container {
  readonly program: Program
  /** Flags that give the plugin its place on the node. */
  readonly place: readonly string[]
  /** Its other flags. */
  readonly flags: readonly string[]
  /** By comm, the processes that end with the container. */
  readonly takes: readonly string[]
  /** What tells the plugin to end. */
  readonly stop: 'SIGTERM' | 'SIGINT'
}

/** The plugin in a container of a DaemonSet's: what it has started ends with it, but for what is hosted outside. */
export class ContainerPlugin implements PluginControl {
  readonly #program: Program
  readonly #daemonSet: DaemonSet
  readonly #flags: readonly string[]
  readonly #takes: readonly string[]
  readonly #stop: 'SIGTERM' | 'SIGINT'
  readonly #timeline: Timeline
  #process: StartedProcess | undefined
  #starts = 0

  constructor({ program, place, flags, takes, stop }: Container, timeline: Timeline, clock: Clock) {
    this.#program = program
    const newLog = (): ProcessLog =>
      new ProcessLog(LANE, clock, (lane, { atMs, line }) => {
        timeline.log(lane, atMs, line)
      })
    this.#daemonSet = new DaemonSet(() => program.command, newLog, place)
    this.#flags = flags
    this.#takes = takes
    this.#stop = stop
    this.#timeline = timeline
  }

  get pids(): readonly number[] {
    return this.#process?.running === true ? [this.#process.pid] : []
  }

  async start(flaw: readonly string[] = []): Promise<void> {
    this.#process = await this.#daemonSet.start([...this.#flags, ...flaw])
    this.#starts++
    this.#timeline.lane(LANE, 'process', 'CSI plugin', this.#process.pid)
    const kind = this.#starts === 1 ? 'start' : 'restart'
    this.#timeline.note(LANE, kind, `process ${this.#process.pid} listens`)
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async stop(): Promise<void> {
    await this.#end(this.#stop)
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  replaceExecutable(): void {
    this.#program.replace()
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const running = this.#process
    if (running?.running !== true) return
    running.kill(signal)
    await running.ended()
    this.#timeline.note(LANE, 'end', `process ${running.pid} ended by ${signal}`)
    await killServers(this.#takes)
  }
}

/** Kills this node's processes of these names; resolves when they are gone. */
export async function killServers(names: readonly string[]): Promise<void> {
  await killAll(names.flatMap(servers))
}

/** Kills processes; resolves when they are gone. */
export async function killAll(pids: readonly number[]): Promise<void> {
  for (const pid of pids) signal(pid, 'SIGKILL')
  await until(`processes ${pids.join(', ')} are gone`, () => pids.every((pid) => processStat(pid) === undefined))
}

/** Sends a signal to a process that may just have ended. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended.
  }
}
