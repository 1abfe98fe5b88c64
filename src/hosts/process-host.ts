import type { CallContext } from '../call-context.ts'
import type { Logger } from '../log.ts'
import { processStat, type ProcessStat } from '../os/processes.ts'
import { type Execution, startDaemon } from './daemon-process.ts'
import { chooseDaemon, endDaemon, findDaemons, mayServe, toDaemon } from './found-daemon.ts'
import { fuseDeviceTrouble } from './fuse-device.ts'
import { type Daemon, type FuseHost, HostError } from './host.ts'
import type { StartQueue } from './start-queue.ts'

/** Makes the call of dummy-fuse for one mount point. */
export type MakeExecution = (path: string, options: readonly string[]) => Execution

/** A daemon, and the super block that it was last seen to serve. */
interface Known {
  readonly stat: ProcessStat
  readonly device?: string
}

/** A dummy-fuse process per mount point. Whether it dies with us lies in how it is executed. */
export class ProcessHost implements FuseHost {
  readonly #execution: MakeExecution
  readonly #queue: StartQueue
  readonly #log: Logger
  /** The daemons by the paths that they were started for. */
  readonly #known = new Map<string, Known>()

  constructor(execution: MakeExecution, queue: StartQueue, log: Logger) {
    this.#execution = execution
    this.#queue = queue
    this.#log = log
  }

  async start(path: string, options: readonly string[], call: CallContext): Promise<void> {
    const execution = this.#execution(path, options)
    const child = await this.#queue.run(path, call, async () => {
      this.#log.info(`exec dummy-fuse [${execution.args.join(' ')}]`)
      return await startDaemon(execution, call, this.#log)
    })
    child.unref()
    const stat = child.pid === undefined ? undefined : processStat(child.pid)
    if (stat !== undefined) this.#known.set(path, { stat })
    child.once('exit', (status, signal) => {
      if (this.#known.get(path)?.stat.start === stat?.start) this.#known.delete(path)
      if (status !== 0) this.#log.error(`dummy-fuse[${child.pid ?? 0}] of ${path} ended: ${signal ?? `exit status ${status ?? 0}`}`)
    })
  }

  daemonAt(path: string, device: string | undefined): Promise<Daemon | undefined> {
    return Promise.resolve(toDaemon(this.#find(path, device)))
  }

  async stop(path: string, device: string | undefined, grace: number, call: CallContext): Promise<void> {
    // One that we have started is waited for, whatever it still serves.
    const stat = this.#running(path)?.stat ?? chooseDaemon(findDaemons(), path, device)
    if (stat !== undefined && !(await endDaemon(stat, grace, call.remaining())))
      throw new HostError('unavailable', `dummy-fuse[${stat.pid}] of ${path} was killed, but is still in the kernel; call again`)
    this.#known.delete(path)
  }

  trouble(): string | undefined {
    return fuseDeviceTrouble()
  }

  #find(path: string, device: string | undefined): ProcessStat | undefined {
    const known = this.#running(path)
    if (known !== undefined && (device === undefined || known.device === device)) return known.stat
    const serves = known !== undefined && device !== undefined && mayServe(known.stat.pid, device)
    // One that another plugin started, or somebody by hand: looking through /proc takes longer with every process.
    const found = serves ? known.stat : chooseDaemon(findDaemons(), path, device)
    if (found !== undefined) this.#known.set(path, device === undefined ? { stat: found } : { stat: found, device })
    return found
  }

  /** The daemon that is known of a path, as it is now. */
  #running(path: string): Known | undefined {
    const known = this.#known.get(path)
    const now = known === undefined ? undefined : processStat(known.stat.pid)
    return known === undefined || now?.start !== known.stat.start ? undefined : { ...known, stat: now }
  }
}
