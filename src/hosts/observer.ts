import { processesNamed, type ProcessStat } from '../os/processes.ts'
import { findDaemons, toDaemon } from './found-daemon.ts'
import { type Daemon, type FuseHost, HostError } from './host.ts'

/** Sees the daemons that others started, and a service's sessions, at the moment of its first question about each; starts none. */
export class Observer implements FuseHost {
  readonly #service: FuseHost
  #serviceRuns: boolean | undefined
  #found: ReadonlyMap<string, ProcessStat> | undefined
  readonly #seen = new Map<string, Promise<Daemon | undefined>>()

  constructor(service: FuseHost) {
    this.#service = service
  }

  start(path: string): Promise<never> {
    return Promise.reject(new HostError('unavailable', `${path}: nothing is mounted by who only looks`))
  }

  daemonAt(path: string): Promise<Daemon | undefined> {
    const seen = this.#seen.get(path) ?? this.#look(path)
    this.#seen.set(path, seen)
    return seen
  }

  /** A service that does not answer has nothing to say. */
  async #look(path: string): Promise<Daemon | undefined> {
    // To ask at its socket would start it.
    this.#serviceRuns ??= processesNamed('dummy-fused').length > 0
    const served = this.#serviceRuns ? await this.#service.daemonAt(path, true).catch(() => undefined) : undefined
    return served ?? toDaemon(this.#daemons().get(path))
  }

  /** All processes are looked at for it, which is done once. */
  #daemons(): ReadonlyMap<string, ProcessStat> {
    this.#found ??= findDaemons()
    return this.#found
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  trouble(): undefined {
    return undefined
  }
}
