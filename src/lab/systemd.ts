import { existsSync, readlinkSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import { pidNamespace, processIds } from '../os/processes/processes.ts'
import { run } from '../os/processes/run.ts'
import { Machine } from './machine.ts'

/** Whose systemd cells have that need one. */
export type SystemdKind = 'host' | 'nspawn' | 'none'

/** Slices are called `dummyfuselab_NAMESPACE_PID_NUMBER`: a dash would make one a part of another (systemd.slice(5)). */
const PREFIX = 'dummyfuselab'

/** Milliseconds that stopping a slice may take. */
const DEADLINE = 60_000

/** A systemd that supervises what a cell runs: this machine's, or one that the lab boots for it. */
export class Systemd implements AsyncDisposable {
  /** For the record: `nspawn 252`. */
  readonly name: string
  /** What comes before a command to have it carried out where this systemd is. */
  readonly enter: readonly string[]
  readonly #machine: Machine | undefined
  #slices = 0

  private constructor(name: string, machine: Machine | undefined) {
    this.name = name
    this.enter = machine?.enter ?? []
    this.#machine = machine
  }

  /** Throws an Error that says why it cannot be had. `folder`: for the machine's files; `programs`: see Machine.boot. */
  static async open(whose: Exclude<SystemdKind, 'none'>, folder: string, programs: readonly string[]): Promise<Systemd> {
    if (whose === 'nspawn') {
      const machine = await Machine.boot(folder, programs).catch((error: unknown) => {
        throw new Error(
          `cannot boot a machine with systemd: ${messageOf(error)}; install systemd-container and dbus, or try --systemd host`,
          {
            cause: error,
          },
        )
      })
      return new Systemd(`nspawn ${await machine.version()}`, machine)
    }
    if (!existsSync('/run/systemd/system')) throw new Error('systemd does not run this machine; try --systemd nspawn')
    const systemd = new Systemd('host', undefined)
    await systemd.#sweep()
    return systemd
  }

  /** A name for a cell's slice that nobody else has. */
  slice(): string {
    return `${PREFIX}_${pidNamespace()}_${process.pid}_${++this.#slices}`
  }

  /** Ends all that a cell has left: its units, and what runs outside of them in the mount namespace of its node. */
  async end(slice: string, namespace: string | undefined): Promise<void> {
    if (namespace !== undefined) killIn(namespace)
    // SIGKILL alone would have services started again, and the stop alone would wait for those who do not heed SIGTERM.
    const script = `systemctl stop --no-block "$1.slice"; systemctl kill --signal=KILL "$1.slice"; systemctl stop "$1.slice"; systemctl reset-failed "$1*"`
    await this.#run('sh', ['-c', script, 'sh', slice])
  }

  /** Ends what labs that were killed have left on this machine. */
  async #sweep(): Promise<void> {
    const { stdout } = await this.#run('systemctl', [
      'list-units',
      '--all',
      '--plain',
      '--no-legend',
      '--type=slice',
      `${PREFIX}_*`,
    ])
    for (const line of stdout.split('\n')) {
      const [, slice = '', namespace, pid] = new RegExp(`^(${PREFIX}_(\\d+)_(\\d+)_\\d+)\\.slice`).exec(line) ?? []
      if (namespace === pidNamespace() && !existsSync(`/proc/${pid ?? ''}`)) await this.end(slice, undefined)
    }
  }

  async #run(file: string, args: readonly string[]): Promise<{ stdout: string }> {
    const [first = file, ...rest] = [...this.enter, file, ...args]
    return await run(first, rest, DEADLINE)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine?.[Symbol.asyncDispose]()
  }
}

/** A systemd that is opened when the first cell needs it. */
export class LateSystemd implements AsyncDisposable {
  readonly #open: () => Promise<Systemd>
  #opened: Promise<Systemd | Error> | undefined
  #name = 'none'

  constructor(whose: SystemdKind, folder: string, programs: readonly string[]) {
    this.#open = async () => {
      if (whose === 'none') throw new Error('it needs systemd, and --systemd none was given')
      return await Systemd.open(whose, folder, programs)
    }
  }

  /** For the record; `none` if it was never needed, or cannot be had. */
  get name(): string {
    return this.#name
  }

  async get(): Promise<Systemd | Error> {
    this.#opened ??= this.#open().then(
      (systemd) => {
        this.#name = systemd.name
        return systemd
      },
      (error: unknown) => (error instanceof Error ? error : new Error(messageOf(error))),
    )
    return await this.#opened
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const opened = await this.#opened
    if (opened instanceof Systemd) await opened[Symbol.asyncDispose]()
  }
}

/** Kills every process in a mount namespace, if that is not our own. */
function killIn(namespace: string): void {
  if (namespace === readlinkSync('/proc/self/ns/mnt')) return
  for (const pid of processIds()) {
    try {
      if (readlinkSync(`/proc/${pid}/ns/mnt`) === namespace) process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
}
