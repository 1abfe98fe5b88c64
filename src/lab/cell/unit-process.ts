import { processStat, sendSignal } from '../../os/processes/processes.ts'
import { run } from '../../os/processes/run.ts'
import type { ProcessEnd } from '../../os/processes/child-program.ts'
import type { Command } from '../command.ts'
import { NODE_VARIABLES } from '../namespaces.ts'
import type { ProcessLog } from '../process-log.ts'
import { StartedProcess } from '../started-process.ts'
import { until } from '../wait.ts'
import type { PluginProcess } from './container-plugin.ts'

/** Milliseconds for one call of systemctl. */
const DEADLINE = 10_000

/** Milliseconds for systemd to start a unit on a loaded machine. */
const START_DEADLINE = 60_000

/** A process and all that it starts are a container: the end of the one is that of the others. */
const CONTAINER = ['KillMode=control-group', 'KillSignal=SIGKILL', 'TimeoutStopSec=10']

/**
 * The main process of a transient service of the systemd that runs this node. What it leaves in its unit is killed when it ends. A unit that it has started over
 * D-Bus is not a part of it.
 */
export class UnitProcess implements PluginProcess {
  /** 0 if it ended before systemd had told its id. */
  readonly pid: number
  /** systemd-run(1), which passes the output on, and ends with the unit and its status. */
  readonly #client: StartedProcess

  private constructor(client: StartedProcess, pid: number) {
    this.#client = client
    this.pid = pid
  }

  /** Starts it. `unit`: a name that no other unit has had. `env`: variables beside those of the node. */
  static async start(
    unit: string,
    { executable, args }: Command,
    log: ProcessLog,
    env: Readonly<Record<string, string>>,
  ): Promise<UnitProcess> {
    // Only the names are arguments: a value may be a secret.
    const variables = [...new Set([...NODE_VARIABLES, ...Object.keys(env)])].map((name) => `--setenv=${name}`)
    const properties = CONTAINER.map((property) => `--property=${property}`)
    const options = ['--quiet', '--collect', '--pipe', '--wait', `--unit=${unit}`, '--service-type=exec', ...properties]
    const words = [executable, ...args].map((word) => word.replaceAll('$', '$$$$'))
    const command = { executable: 'systemd-run', argv0: 'systemd-run', args: [...options, ...variables, '--', ...words] }
    const client = await StartedProcess.start(command, log, env)
    const pid = await until(`systemd starts ${unit}`, async () => (client.running ? await mainPid(unit) : 'ended'), START_DEADLINE)
    return new UnitProcess(client, pid === 'ended' ? 0 : pid)
  }

  get log(): ProcessLog {
    return this.#client.log
  }

  get running(): boolean {
    return this.#client.running && this.pid !== 0 && processStat(this.pid) !== undefined
  }

  get heard(): Promise<ProcessEnd> {
    return this.#client.heard
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    if (this.running) sendSignal(this.pid, signal)
  }

  /** Waits for its end and that of its unit. Throws an Error if it goes on. */
  async ended(): Promise<ProcessEnd> {
    return await this.#client.ended()
  }
}

/** Undefined as long as there is none. */
async function mainPid(unit: string): Promise<number | undefined> {
  const { stdout } = await run('systemctl', ['show', '--property=MainPID', '--value', `${unit}.service`], DEADLINE)
  const pid = Number(stdout)
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined
}
