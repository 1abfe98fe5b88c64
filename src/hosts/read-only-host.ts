import { processesNamed } from '../os/processes/processes.ts'
import { chooseDaemon, findDaemons, type FoundDaemon, toDaemon } from './found-daemon.ts'
import { type Daemon, type FuseHost, HostError } from './host.ts'

/** A service that can be asked for all that it serves. */
export interface ObservedService {
  /** The daemon of each path that is served. Rejects if it does not answer. */
  all(): Promise<ReadonlyMap<string, Daemon>>
}

/** Several services as one. One that does not answer takes nothing from the others. */
export function combined(services: readonly ObservedService[]): ObservedService {
  return {
    all: async () => {
      const answers = await Promise.allSettled(services.map((service) => service.all()))
      return new Map(answers.flatMap((answer) => (answer.status === 'fulfilled' ? [...answer.value] : [])))
    },
  }
}

/**
 * Sees the daemons that others started, and a service's sessions; starts none. The service is asked once, for all of its sessions, and the
 * processes are looked at once, both at the first question, or at {@link begin}.
 */
export class ReadOnlyHost implements FuseHost {
  readonly #connect: () => Promise<ObservedService>
  #served: Promise<ReadonlyMap<string, Daemon>> | undefined
  #found: readonly FoundDaemon[] | undefined

  /** `connect` is called if a dummy-fused runs, and only then: gRPC takes longer to load than everything else. */
  constructor(connect: () => Promise<ObservedService>) {
    this.#connect = connect
  }

  /** Asks the service now, and resolves when it has answered: the caller can do something else until then. */
  async begin(): Promise<void> {
    await this.#sessions()
  }

  start(path: string): Promise<never> {
    return Promise.reject(new HostError('unavailable', `${path}: a program that only shows states mounts nothing`))
  }

  async daemonAt(path: string, device: string | undefined): Promise<Daemon | undefined> {
    const served = await this.#sessions()
    return served.get(path) ?? toDaemon(chooseDaemon(this.#daemons(), path, device))
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  unavailableReason(): undefined {
    return undefined
  }

  #sessions(): Promise<ReadonlyMap<string, Daemon>> {
    this.#served ??= this.#ask().catch(() => new Map<string, Daemon>())
    return this.#served
  }

  /** A service manager that listens in place of a dummy-fused would start one for the question. */
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
