/** The process that serves a mount point. */
export interface Daemon {
  readonly pid: number
  /** Stopped by a signal (SIGSTOP): whoever asks its mount anything waits. */
  readonly stopped: boolean
  /**
   * The session that it has just said it serves there, by its super block's `major:minor`; undefined if it says nothing of the sort and
   * its mount must be asked itself.
   */
  readonly device?: string
}

/** Why a session could not be started: it said so itself, or it did not answer in time and was ended. */
export class HostError extends Error {
  override readonly name = 'HostError'
  readonly kind: 'failed' | 'timeout' | 'unavailable'

  constructor(kind: HostError['kind'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** Has FUSE sessions served somewhere: in our own cgroup, outside of it, or by a service that survives us. */
export interface FuseHost {
  /**
   * Has a session mounted at an absolute path, with mount options as `-o` takes them. Resolves once INIT has been handled. Rejects with
   * HostError at the latest after `deadline` milliseconds, and then nothing serves the path and no mount of it can land any more.
   */
  start(path: string, options: readonly string[], deadline: number): Promise<void>
  /**
   * What serves a path, if anything does. `asked`: what was learnt before does not count. Rejects with HostError `unavailable` while that
   * cannot be learnt.
   */
  daemonAt(path: string, asked?: boolean): Promise<Daemon | undefined>
  /** Ends what serves a path, whose mount has been taken off: it may end by itself for `grace` milliseconds, then it is killed. */
  stop(path: string, grace: number): Promise<void>
  /** What keeps this host from serving at all, as a line for people; undefined if nothing does. */
  trouble(): string | undefined
}
