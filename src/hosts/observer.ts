import { processesNamed } from '../os/processes.ts'
import { findDaemon, toDaemon } from './found-daemon.ts'
import { type Daemon, type FuseHost, HostError } from './host.ts'

/** Sees the daemons that others started, and asks a service about its sessions; starts none. */
export class Observer implements FuseHost {
  readonly #service: FuseHost
  #serviceRuns: boolean | undefined

  constructor(service: FuseHost) {
    this.#service = service
  }

  start(path: string): Promise<never> {
    return Promise.reject(new HostError('unavailable', `${path}: nothing is mounted by who only looks`))
  }

  /** A service that does not answer has nothing to say. */
  async daemonAt(path: string, asked?: boolean): Promise<Daemon | undefined> {
    // To ask at its socket would start it.
    this.#serviceRuns ??= processesNamed('dummy-fused').length > 0
    if (!this.#serviceRuns) return toDaemon(findDaemon(path))
    // All processes are looked at for each path that the service does not know.
    return (await this.#service.daemonAt(path, asked).catch(() => undefined)) ?? toDaemon(findDaemon(path))
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  trouble(): undefined {
    return undefined
  }
}
