import { spawn } from 'node:child_process'
import type { Command } from './command.ts'
import type { ProcessLog } from './process-log.ts'
import { within } from './wait.ts'

/** How a process ended: by itself with a status, or by a signal. */
export interface Ending {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
}

/** A process of the private node whose output goes to a log. It ends with the node at the latest. */
export class StartedProcess {
  readonly pid: number
  readonly log: ProcessLog
  /** Resolves when it has ended; its last lines may still be on their way then. */
  readonly ending: Promise<Ending>
  #running = true

  private constructor(pid: number, log: ProcessLog, ending: Promise<Ending>) {
    this.pid = pid
    this.log = log
    this.ending = ending
    const over = (): void => {
      this.#running = false
    }
    ending.then(over, over)
  }

  /** Starts it, in a process group of its own. Rejects if there is no such program. */
  static async start({ executable, args, argv0 }: Command, log: ProcessLog): Promise<StartedProcess> {
    const child = spawn(executable, args, { argv0, stdio: ['ignore', 'pipe', 'pipe'], detached: true, cwd: '/' })
    log.follow(child.stdout)
    log.follow(child.stderr)
    const ending = new Promise<Ending>((resolve) => {
      child.on('exit', (status, signal) => {
        resolve({ status, signal })
      })
    })
    return await new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('spawn', () => {
        resolve(new StartedProcess(child.pid ?? -1, log, ending))
      })
    })
  }

  get running(): boolean {
    return this.#running
  }

  /** Sends it a signal, unless it has ended. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    if (this.#running) process.kill(this.pid, signal)
  }

  /** Waits for its end. Throws an Error if it goes on. */
  async ended(): Promise<Ending> {
    return await within(`${this.log.name} (process ${this.pid}) ends`, this.ending)
  }
}
