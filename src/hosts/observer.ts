import { findDaemon, toDaemon } from './found-daemon.ts'
import { type Daemon, type FuseHost, HostError } from './host.ts'

/** Sees the daemons that others started and starts none. */
export class Observer implements FuseHost {
  start(path: string): Promise<never> {
    return Promise.reject(new HostError('unavailable', `${path}: nothing is mounted by who only looks`))
  }

  daemonAt(path: string): Daemon | undefined {
    return toDaemon(findDaemon(path))
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  trouble(): undefined {
    return undefined
  }
}
