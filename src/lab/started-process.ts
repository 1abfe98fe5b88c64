import { ChildProgram, type ProcessEnd } from '../os/processes/child-program.ts'
import type { Command } from './command.ts'
import type { ProcessLog } from './process-log.ts'
import { within } from './wait.ts'

/** A process of the private node whose output goes to a log. It ends with the node at the latest. */
export class StartedProcess {
  readonly log: ProcessLog
  readonly #child: ChildProgram

  private constructor(child: ChildProgram, log: ProcessLog) {
    this.#child = child
    this.log = log
    for (const stream of [child.stdout, child.stderr]) if (stream !== undefined) log.follow(stream)
  }

  /** Starts it, in a process group of its own. `env`: variables beside those of this process. Rejects if there is no such program. */
  static async start(
    { executable, args, argv0 }: Command,
    log: ProcessLog,
    env: Readonly<Record<string, string>> = {},
  ): Promise<StartedProcess> {
    const child = new ChildProgram({
      ...{ file: executable, args, argv0, stdio: ['ignore', 'pipe', 'pipe'], detached: true, cwd: '/' },
      variables: env,
    })
    // Only the end of a process that was never started is known here; it rejects.
    if (child.pid === 0) await child.ended
    return new StartedProcess(child, log)
  }

  get pid(): number {
    return this.#child.pid
  }

  /** Resolves when it has ended; its last lines may still be on their way then. */
  get ending(): Promise<ProcessEnd> {
    return this.#child.ended
  }

  /** Resolves when all its output is in the log, that of descendants with its descriptors too. */
  get heard(): Promise<ProcessEnd> {
    return this.#child.closed
  }

  get running(): boolean {
    return this.#child.end === undefined
  }

  /** Sends it a signal, unless it has ended. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.signal(signal)
  }

  /** Waits for its end. Throws an Error if it goes on. */
  async ended(): Promise<ProcessEnd> {
    return await within(`${this.log.name} (process ${this.pid}) ends`, this.ending)
  }
}
