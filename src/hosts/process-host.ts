import type { CallContext } from '../call-context.ts'
import type { Logger } from '../log.ts'
import { describeEnd } from '../os/processes/child-program.ts'
import { killAfter } from '../os/processes/kill-after.ts'
import { processStat, type ProcessStat } from '../os/processes/processes.ts'
import type { DaemonProcess, Execution } from './daemon-process.ts'
import type { DaemonStarter } from './daemon-starter.ts'
import { chooseDaemon, endDaemon, findDaemons, isStopped, mayServe, toDaemon } from './found-daemon.ts'
import { fuseDeviceProblem } from './fuse-device.ts'
import { type Daemon, type FuseHost, HostError } from './host.ts'
import type { Spares } from './spares.ts'
import type { StartQueue } from './start-queue.ts'

/** Makes the command that runs dummy-fuse for one mount point. */
export type MakeExecution = (path: string, options: readonly string[]) => Execution

/** How dummy-fuse is run by this host. */
export interface DummyFuseRuns {
  /** Its arguments for a mount point. */
  args(path: string, options: readonly string[]): readonly string[]
  /** The command that runs it with these arguments. */
  execution(args: readonly string[]): Execution
}

/** A daemon, and the super block that it served when it was last looked at. */
interface Known {
  readonly stat: ProcessStat
  readonly device?: string
  /** Of a daemon that this plugin has started. */
  readonly process?: DaemonProcess
}

/** `--fuse-host child` and `detached`: one dummy-fuse for each mount point. Its command decides whether it ends with the plugin. */
export class ProcessHost implements FuseHost {
  readonly #runs: DummyFuseRuns
  readonly #starter: DaemonStarter
  readonly #queue: StartQueue
  readonly #spares: Spares | undefined
  readonly #log: Logger
  /** The daemons by the paths that they were started for. */
  readonly #known = new Map<string, Known>()

  constructor(runs: DummyFuseRuns, starter: DaemonStarter, queue: StartQueue, spares: Spares | undefined, log: Logger) {
    this.#runs = runs
    this.#starter = starter
    this.#queue = queue
    this.#spares = spares
    this.#log = log
  }

  async start(path: string, options: readonly string[], call: CallContext): Promise<Daemon | undefined> {
    const args = this.#runs.args(path, options)
    try {
      const daemon = await this.#queue.run(
        path,
        call,
        async (waits) =>
          (await this.#ordered(args, call, waits)) ?? (await this.#starter.start(this.#runs.execution(args), call, waits)),
      )
      return toDaemon(this.#know(path, daemon))
    } finally {
      this.#spares?.replenish()
    }
  }

  /** The spare, once it serves. Undefined if there is none, or if it ended without an error message. */
  async #ordered(args: readonly string[], call: CallContext, waits: () => void): Promise<DaemonProcess | undefined> {
    const spare = this.#spares?.take()
    if (spare === undefined) return undefined
    this.#log.info(`exec dummy-fuse [${args.join(' ')}] in dummy-fuse[${spare.pid}]`)
    spare.serve(args)
    const outcome = await spare.ready(call, waits)
    if (outcome === 'ready') return spare
    if (outcome.status !== null && outcome.status !== 0 && spare.takesOrders) throw spare.failure(outcome)
    return undefined
  }

  #know(path: string, daemon: DaemonProcess): ProcessStat | undefined {
    const stat = processStat(daemon.pid)
    if (stat !== undefined) this.#known.set(path, { stat, process: daemon })
    daemon.onceFree(() => {
      if (this.#known.get(path)?.process === daemon) this.#known.delete(path)
      if (!daemon.over) {
        if (this.#spares === undefined) daemon.dismiss()
        else this.#spares.offer(daemon)
      } else if (daemon.end?.status !== 0)
        this.#log.error(
          `dummy-fuse[${daemon.pid}] of ${path} ended: ${describeEnd(daemon.end)}; the volume is mounted again when it is staged or published, restart its consumers then`,
        )
    })
    return stat
  }

  daemonAt(path: string, device: string | undefined): Promise<Daemon | undefined> {
    return Promise.resolve(toDaemon(this.#find(path, device)))
  }

  async stop(path: string, device: string | undefined, grace: number, call: CallContext): Promise<void> {
    // A daemon that this plugin has started is waited for, even if it serves another mount meanwhile.
    const known = this.#running(path)
    const stat = known?.stat ?? chooseDaemon(findDaemons(), path, device)
    if (stat === undefined) return
    const { process } = known ?? {}
    const stopped =
      process === undefined
        ? await endDaemon(stat, grace, call.remaining())
        : await killAfter(process, isStopped(stat) ? 0 : grace, call.remaining())
    if (!stopped) throw new HostError('unavailable', `the dummy-fuse of ${path} was killed, but is still in the kernel; call again`)
    this.#known.delete(path)
  }

  unavailableReason(): string | undefined {
    return fuseDeviceProblem()
  }

  #find(path: string, device: string | undefined): ProcessStat | undefined {
    const known = this.#running(path)
    if (known !== undefined && (device === undefined || known.device === device)) return known.stat
    const serves = known !== undefined && device !== undefined && mayServe(known.stat.pid, device)
    // The search in /proc finds a daemon that another plugin or a user has started; it takes longer with every process.
    const found = serves ? known.stat : chooseDaemon(findDaemons(), path, device)
    if (found !== undefined) {
      // Another process may have started in the same clock tick.
      const process = known?.stat.pid === found.pid && known.stat.start === found.start ? known.process : undefined
      this.#known.set(path, {
        stat: found,
        ...(device === undefined ? {} : { device }),
        ...(process === undefined ? {} : { process }),
      })
    }
    return found
  }

  /** The known daemon of a path, as it is now; undefined if it has ended. */
  #running(path: string): Known | undefined {
    const known = this.#known.get(path)
    const now = known === undefined ? undefined : processStat(known.stat.pid)
    return known === undefined || now?.start !== known.stat.start ? undefined : { ...known, stat: now }
  }
}
