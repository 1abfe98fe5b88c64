import { processesNamed } from '../os/processes/processes.ts'
import { chooseDaemon, findDaemons, type FoundDaemon, toDaemon } from './found-daemon.ts'
import { type Daemon, type FuseHost, HostError } from './host.ts'
import type { ProgramRecords } from './program/records.ts'
import type { Shields } from './program/shields.ts'

/** What is recorded of the sessions of programs. */
type RecordedDaemons = Pick<ProgramRecords, 'daemonAt' | 'isShielded'>

/** A service that tells all sessions it serves. */
export interface ObservedService {
  /** The daemon of each path that is served. Rejects if the service does not answer. */
  all(): Promise<ReadonlyMap<string, Daemon>>
}

/** Several services as one. A service that does not answer does not hide the others. */
export function combined(services: readonly ObservedService[]): ObservedService {
  return {
    all: async () => {
      const answers = await Promise.allSettled(services.map((service) => service.all()))
      return new Map(answers.flatMap((answer) => (answer.status === 'fulfilled' ? [...answer.value] : [])))
    },
  }
}

/**
 * Finds the daemons that a plugin has started, and the sessions of a service; starts none. At the first question, or at {@link begin}, it asks the
 * service for all sessions and searches /proc, once each.
 */
export class ReadOnlyHost implements FuseHost {
  readonly #connect: () => Promise<ObservedService>
  readonly #recorded: RecordedDaemons
  readonly #shields: Pick<Shields, 'silence'>
  #served: Promise<ReadonlyMap<string, Daemon>> | undefined
  #found: readonly FoundDaemon[] | undefined

  /** `connect` is called only if a dummy-fused runs, because gRPC takes longer to load than everything else. `recorded`: the daemons of programs. */
  constructor(connect: () => Promise<ObservedService>, recorded: RecordedDaemons, shields: Pick<Shields, 'silence'>) {
    this.#connect = connect
    this.#recorded = recorded
    this.#shields = shields
  }

  /** Asks the service now. Resolves when it has answered, so that the caller can do other work meanwhile. */
  async begin(): Promise<void> {
    await this.#sessions()
  }

  start(path: string): Promise<never> {
    return Promise.reject(new HostError('unavailable', `${path}: a program that only shows states mounts nothing`))
  }

  async daemonAt(path: string, device: string | undefined): Promise<Daemon | undefined> {
    const served = await this.#sessions()
    return served.get(path) ?? this.#recorded.daemonAt(path, device) ?? toDaemon(chooseDaemon(this.#daemons(), path, device))
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  async silence(path: string, device: string, time?: number): Promise<string | undefined> {
    return this.#recorded.isShielded(path, device) ? await this.#shields.silence(path, time) : undefined
  }

  unavailableReason(): undefined {
    return undefined
  }

  #sessions(): Promise<ReadonlyMap<string, Daemon>> {
    this.#served ??= this.#ask().catch(() => new Map<string, Daemon>())
    return this.#served
  }

  /** Asks only a dummy-fused that runs: a service manager that listens in its place would start one for the question. */
  async #ask(): Promise<ReadonlyMap<string, Daemon>> {
    if (processesNamed('dummy-fused').length === 0) return new Map()
    const service = await this.#connect()
    return await service.all()
  }

  #daemons(): readonly FoundDaemon[] {
    this.#found ??= findDaemons()
    return this.#found
  }
}
