import type { CallContext } from '../call-context.ts'
import type { Logger } from '../log.ts'
import { ChildProgram, describeEnd } from '../os/processes/child-program.ts'
import { chooseDaemon, endDaemon, findDaemons, toDaemon } from './found-daemon.ts'
import { type Daemon, type FuseHost, HostError } from './host.ts'
import type { MakeExecution } from './process-host.ts'

/** The flaw of the drivers of blobfuse2 #1079 and #1081, for the lab: it trusts the exit status of a command that returns too early. */
export class EarlyReturnHost implements FuseHost {
  readonly #execution: MakeExecution
  readonly #log: Logger

  constructor(execution: MakeExecution, log: Logger) {
    this.#execution = execution
    this.#log = log
  }

  async start(path: string, options: readonly string[]): Promise<undefined> {
    const { file, args, argv0, env } = this.#execution(path, options)
    this.#log.info(`exec dummy-fuse [${args.join(' ')}]`)
    const end = await new ChildProgram({ file, args, argv0, env, stdio: 'ignore' }).ended
    if (end.status !== 0) throw new HostError('failed', `dummy-fuse ended: ${describeEnd(end)}`)
    return undefined
  }

  daemonAt(path: string, device: string | undefined): Promise<Daemon | undefined> {
    return Promise.resolve(toDaemon(chooseDaemon(findDaemons(), path, device)))
  }

  async stop(path: string, device: string | undefined, grace: number, call: CallContext): Promise<void> {
    const stat = chooseDaemon(findDaemons(), path, device)
    if (stat !== undefined) await endDaemon(stat, grace, call.remaining())
  }

  unavailableReason(): undefined {
    return undefined
  }
}
