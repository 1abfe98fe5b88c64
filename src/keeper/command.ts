import { basename } from 'node:path'
import { executablePath } from '../os/processes/executable-on-path.ts'
import type { Execution } from './main-process.ts'

/** What stands for a process's own id in the environment that the launcher is given: launcher.s writes the id over it. */
export const OWN_PID = '0000000000'

/** A descriptor that the program finds from 3 up, in LISTEN_FDNAMES under its name. */
export interface Passed {
  readonly name: string
  readonly fd: number
}

/** What the program learns about its service manager. */
export interface KeptService {
  /** Where it takes messages. */
  readonly notify: string
  /** How many descriptors it stores. */
  readonly storeMax: number
  /** In milliseconds; 0 for none. */
  readonly watchdog: number
}

/** The variables that a service manager speaks by: what we were given is not meant for the program. */
const OURS = [
  'NOTIFY_SOCKET',
  'FDSTORE',
  'LISTEN_PID',
  'LISTEN_FDS',
  'LISTEN_FDNAMES',
  'LISTEN_PIDFDID',
  'WATCHDOG_PID',
  'WATCHDOG_USEC',
]

/** The program that is kept, by name or path, and its words. */
export class Command {
  readonly #file: string
  readonly #args: readonly [string, ...string[]]
  readonly #env: NodeJS.ProcessEnv

  /** `args`: the name that the program is called by, and its words. `file`: its path, or a name that is looked up in PATH. */
  constructor(args: readonly [string, ...string[]], env: NodeJS.ProcessEnv, file: string = args[0]) {
    this.#file = file
    this.#args = args
    this.#env = Object.fromEntries(Object.entries(env).filter(([name]) => !OURS.includes(name)))
  }

  /** As a log line names it. */
  get name(): string {
    return basename(this.#args[0])
  }

  /** The program as it was given. */
  get given(): string {
    return this.#file
  }

  /** The path at which the program is now; undefined when there is nothing that can be executed. */
  find(): string | undefined {
    return executablePath(this.#file, this.#env.PATH ?? '/usr/local/bin:/usr/bin:/bin')
  }

  /** How it is started by way of `launcher`, and served by `service`. */
  execution(launcher: string, path: string, passed: readonly Passed[], { notify, storeMax, watchdog }: KeptService): Execution {
    const listen = {
      LISTEN_PID: OWN_PID,
      LISTEN_FDS: String(passed.length),
      LISTEN_FDNAMES: passed.map(({ name }) => name).join(':'),
    }
    const notified = { NOTIFY_SOCKET: notify, FDSTORE: String(storeMax) }
    const alive = { WATCHDOG_PID: OWN_PID, WATCHDOG_USEC: String(watchdog * 1000) }
    return {
      file: launcher,
      args: [path, ...this.#args],
      env: { ...this.#env, ...notified, ...(passed.length > 0 && listen), ...(watchdog > 0 && alive) },
      descriptors: passed.map(({ fd }) => fd),
    }
  }
}
