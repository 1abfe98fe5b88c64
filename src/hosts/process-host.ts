import { closeSync, openSync } from 'node:fs'
import { codeOf, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { processStat, type ProcessStat } from '../os/processes.ts'
import { type Execution, startDaemon } from './daemon-process.ts'
import { endDaemon, findDaemon, toDaemon } from './found-daemon.ts'
import type { Daemon, FuseHost } from './host.ts'

/** Makes the call of dummy-fuse for one mount point. */
export type MakeExecution = (path: string, options: readonly string[]) => Execution

/** A dummy-fuse process per mount point. Whether it dies with us lies in how it is executed. */
export class ProcessHost implements FuseHost {
  readonly #execution: MakeExecution
  readonly #log: Logger
  readonly #known = new Map<string, ProcessStat>()

  constructor(execution: MakeExecution, log: Logger) {
    this.#execution = execution
    this.#log = log
  }

  async start(path: string, options: readonly string[], deadline: number): Promise<void> {
    const execution = this.#execution(path, options)
    this.#log.info(`exec dummy-fuse [${execution.args.join(' ')}]`)
    const child = await startDaemon(execution, deadline, this.#log)
    child.unref()
    const stat = child.pid === undefined ? undefined : processStat(child.pid)
    if (stat !== undefined) this.#known.set(path, stat)
    child.once('exit', (status, signal) => {
      if (this.#known.get(path) === stat) this.#known.delete(path)
      if (status !== 0) this.#log.error(`dummy-fuse[${child.pid ?? 0}] of ${path} ended: ${signal ?? `exit status ${status ?? 0}`}`)
    })
  }

  daemonAt(path: string): Promise<Daemon | undefined> {
    return Promise.resolve(toDaemon(this.#find(path)))
  }

  async stop(path: string, grace: number): Promise<void> {
    const stat = this.#find(path)
    if (stat !== undefined) await endDaemon(stat, grace)
    this.#known.delete(path)
  }

  trouble(): string | undefined {
    try {
      closeSync(openSync('/dev/fuse', 'r+'))
      return undefined
    } catch (error) {
      const hint =
        codeOf(error) === 'ENOENT' || codeOf(error) === 'ENODEV'
          ? "run 'modprobe fuse', or give the device to this container"
          : 'allow it'
      return `cannot open /dev/fuse: ${messageOf(error)}; ${hint}`
    }
  }

  #find(path: string): ProcessStat | undefined {
    const known = this.#known.get(path)
    const now = known === undefined ? undefined : processStat(known.pid)
    if (now !== undefined && now.start === known?.start) return now
    // One that another plugin started, or somebody by hand: looking through /proc takes longer with every process.
    const found = findDaemon(path)
    if (found !== undefined) this.#known.set(path, found)
    return found
  }
}
