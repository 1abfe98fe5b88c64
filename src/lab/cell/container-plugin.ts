import type { ProcessEnd } from '../../os/processes/child-program.ts'
import { settledWithin } from '../../os/processes/settled-within.ts'
import { hasListener } from '../../os/sockets/unix-socket.ts'
import { type Command, withArgs } from '../command.ts'
import type { ProcessLog } from '../process-log.ts'
import { StartedProcess } from '../started-process.ts'
import { until } from '../wait.ts'
import type { PluginControl } from './harness.ts'
import type { Helpers } from './helpers.ts'
import { killAll, processesOf } from './node-processes.ts'
import type { Program } from './replaceable.ts'
import type { Timeline } from './timeline.ts'

const LANE = 'plugin'

/** Milliseconds for what a process has written to come to its log when it has ended. */
const LAST_WORDS = 1000

/** The first process of a container. */
export type PluginProcess = Pick<StartedProcess, 'pid' | 'running' | 'log' | 'heard' | 'kill' | 'ended'>

const startProcess: NonNullable<Container['launch']> = (command, log, env) => StartedProcess.start(command, log, env)

/** The container of a plugin. */
export interface Container {
  readonly program: Program
  /** All flags of the plugin, at each start. */
  readonly flags: readonly string[]
  /** By comm, the processes that end with the container. */
  readonly takes: readonly string[]
  /** The signal that stops the plugin. */
  readonly stop: 'SIGTERM' | 'SIGINT'
  /** Where the plugin listens. */
  readonly socket: string
  /** Variables of its environment, beside those of the node. */
  readonly env: Readonly<Record<string, string>>
  /** What is started before the plugin and ends with it. */
  readonly beside?: Helpers
  /** Starts its first process; as a process of the lab if not given. `env`: variables beside those of this process. */
  readonly launch?: (command: Command, log: ProcessLog, env: Readonly<Record<string, string>>) => Promise<PluginProcess>
}

/** The plugin in a container, as a DaemonSet runs it. Its daemons end with the container, except those that are hosted outside. */
export class ContainerPlugin implements PluginControl {
  readonly #container: Container
  readonly #timeline: Timeline
  #process: PluginProcess | undefined

  constructor(container: Container, timeline: Timeline) {
    this.#container = container
    this.#timeline = timeline
  }

  async pids(): Promise<readonly number[]> {
    return await Promise.resolve(this.#process?.running === true ? [this.#process.pid] : [])
  }

  /** Of the process that was started last: `plugin-1`, `plugin-2`. Throws an Error before the first start. */
  get log(): ProcessLog {
    return this.#last.log
  }

  /** Throws an Error if the plugin ends before its socket can be connected to. */
  async start(flaw: readonly string[] = []): Promise<void> {
    const { program, flags, socket, env, beside, launch = startProcess } = this.#container
    const kind = this.#process === undefined ? 'start' : 'restart'
    await beside?.start()
    const log = this.#timeline.newLog(LANE)
    const plugin = await launch(withArgs(program.command, [...flags, ...flaw]), log, env)
    this.#process = plugin
    const listens = async (): Promise<'listens' | 'ended' | false> =>
      plugin.running ? (await hasListener(socket)) && 'listens' : 'ended'
    if ((await until('the plugin listens', listens)) === 'ended') {
      throw new Error(`the plugin ended before it listened:\n${log.tail(5).join('\n')}`)
    }
    this.#timeline.lane(LANE, 'process', 'CSI plugin', plugin.pid)
    this.#timeline.note(LANE, kind, `process ${plugin.pid} listens`)
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async stop(): Promise<void> {
    await this.#end(this.#container.stop)
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  replaceExecutable(): void {
    this.#container.program.replace()
  }

  /** Waits for the end of the process that was started last. */
  async ended(): Promise<ProcessEnd> {
    return await this.#last.ended()
  }

  /** Resolves when all that the last process has said is in its log, or soon, since a daemon may keep the output open. */
  async heard(): Promise<void> {
    if (this.#process !== undefined) await settledWithin(this.#process.heard, LAST_WORDS)
  }

  get #last(): PluginProcess {
    if (this.#process === undefined) throw new Error('the plugin was never started')
    return this.#process
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const running = this.#process
    if (running?.running !== true) return
    running.kill(signal)
    await running.ended()
    await this.#container.beside?.end()
    this.#timeline.note(LANE, 'end', `process ${running.pid} ended by ${signal}`)
    await killAll(this.#container.takes.flatMap(processesOf))
  }
}
