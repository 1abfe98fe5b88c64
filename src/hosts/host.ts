import type { CallContext } from '../call-context.ts'

/** The process that serves a mount point. */
export interface Daemon {
  readonly pid: number
  /** Stopped by a signal (SIGSTOP): a request to its mount waits. */
  readonly stopped: boolean
  /**
   * The session that it has just said it serves there, by its super block's `major:minor`; undefined if it says nothing of the sort and
   * its mount must be asked itself.
   */
  readonly device?: string
  /** It serves other volumes too, and is not ended because of one. */
  readonly serves?: 'many'
}

/**
 * Why a session could not be started. `failed`: calling again does not help; `timeout`: it did not answer in time and was ended; `unavailable`:
 * calling again may help; `exhausted`: this node has run out of something; `precondition`, `conflict`: what is at the path is in the way.
 */
export type HostErrorKind = 'failed' | 'timeout' | 'unavailable' | 'exhausted' | 'precondition' | 'conflict'

export class HostError extends Error {
  override readonly name: string = 'HostError'
  readonly kind: HostErrorKind

  constructor(kind: HostErrorKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** A start whose turn does not come before its call's deadline. Its place in the queue is kept for the next call. */
export class QueuedError extends HostError {
  override readonly name = 'QueuedError'

  constructor(message: string) {
    super('unavailable', message)
  }
}

/** Has FUSE sessions served somewhere: in our own cgroup, outside of it, or by a service that survives us. */
export interface FuseHost {
  /**
   * Has a session mounted at an absolute path, with mount options as `-o` takes them. Resolves once INIT has been handled. Rejects with
   * HostError, or the reason of the call's signal, before the call's time for undoing ends; then nothing serves the path and no mount of it
   * can land any more.
   */
  start(path: string, options: readonly string[], call: CallContext): Promise<void>
  /**
   * What serves the FUSE connection of super block `device` (`major:minor`), which is mounted at a path; without one, what is known to serve the
   * path. What was learnt by asking the daemon counts for `maxAge` milliseconds (for as long as its process and the session live, if left out).
   * Rejects with HostError `unavailable` while that cannot be learnt.
   */
  daemonAt(path: string, device: string | undefined, call: CallContext, maxAge?: number): Promise<Daemon | undefined>
  /**
   * Ends what serves a path, whose mount of `device` has been taken off: it may end by itself for `grace` milliseconds, then it is killed. Resolves
   * when it has ended. Rejects with HostError `unavailable` if it has not when the call ends.
   */
  stop(path: string, device: string | undefined, grace: number, call: CallContext): Promise<void>
  /** What keeps this host from serving at all, as a line for people; undefined if nothing does. */
  unavailableReason(): string | undefined
}
