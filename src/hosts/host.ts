import type { CallContext } from '../call-context.ts'

/** The process that serves a mount point. */
export interface Daemon {
  /** Undefined for a process of another PID namespace, which this one does not see. */
  readonly pid?: number
  /** Stopped by a signal (SIGSTOP): requests to its mount wait. False where that cannot be seen. */
  readonly stopped: boolean
  /**
   * The super block (`major:minor`) of the session that the daemon itself says it serves there. Undefined for a daemon that does not tell: then its
   * mount must be probed.
   */
  readonly device?: string
  /** The daemon serves other volumes too, and is not killed for one volume. */
  readonly serves?: 'many'
}

/**
 * Why a session could not be started. `failed`: another call does not help. `timeout`: the daemon did not answer in time and was killed.
 * `unavailable`: another call may help. `exhausted`: the node lacks a resource. `precondition`, `conflict`: what is at the path prevents it.
 */
export type HostErrorKind = 'failed' | 'timeout' | 'unavailable' | 'exhausted' | 'precondition' | 'conflict'

/** What to do about a session that hangs, and about one that is dead, as parts of a sentence for people. */
export interface SessionAdvice {
  readonly hung: string
  readonly dead: string
}

export class HostError extends Error {
  override readonly name: string = 'HostError'
  readonly kind: HostErrorKind

  constructor(kind: HostErrorKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** A start that is still in the queue at its call's deadline. Its place in the queue is kept for the next call. */
export class QueuedError extends HostError {
  override readonly name = 'QueuedError'

  constructor(message: string) {
    super('unavailable', message)
  }
}

/** What a program mounts a volume from (`serve --program`). */
export interface VolumeSource {
  readonly volumeId: string
  /** Checked by the program's file; empty for daemons of ours. */
  readonly parameters: Readonly<Record<string, string>>
  /** Those of the call; undefined for a call that brings none, and for a restore. */
  readonly secrets?: Readonly<Record<string, string>>
}

/** Starts and stops the daemons that serve FUSE sessions: child processes, detached processes, or a service. One class for each host mode. */
export interface FuseHost {
  /**
   * Has a session of a volume mounted at an absolute path, with mount options as `-o` takes them. Resolves once INIT has been handled, to the daemon that serves
   * it (undefined if that has ended since). Rejects with HostError, or with the reason of the call's signal, before the call's time for undoing ends;
   * then nothing serves the path, and no mount of it appears later.
   */
  start(path: string, options: readonly string[], call: CallContext, source: VolumeSource): Promise<Daemon | undefined>
  /**
   * The daemon of the FUSE connection with super block `device` (`major:minor`) that is mounted at a path; without `device`, the daemon that was
   * started for the path. `maxAge`: milliseconds in which a dummy-fused was asked for its sessions; left out by a call that mounts or binds, which needs
   * an answer of any kind that is young. Rejects with HostError `unavailable` or `timeout` while the daemon cannot be determined: with `maxAge` within half a
   * second, unless the daemon is seen to be busy.
   */
  daemonAt(path: string, device: string | undefined, call: CallContext, maxAge?: number): Promise<Daemon | undefined>
  /**
   * Ends the daemon of a path whose mount of `device` has been unmounted: it may end by itself for `grace` milliseconds, then it is killed. Resolves
   * when it has ended. Rejects with HostError `unavailable` if it has not when the call ends.
   */
  stop(path: string, device: string | undefined, grace: number, call: CallContext): Promise<void>
  /** Has a daemon end that wants more for that than the unmount, which comes next. Never rejects. Left out by a host whose daemons end by the unmount. */
  beforeUnmount?(path: string, call: CallContext): Promise<void>
  /** Removes what is kept for a path at which no volume is staged any more. Never throws. Left out by a host that keeps nothing. */
  forget?(path: string): void
  /**
   * The super block (`major:minor`) of a session that still runs for a path and is not mounted there any more: somebody else has unmounted the path, and
   * binds hold the session. Undefined if there is none. Left out by a host that can start a second session beside it.
   */
  unmountedSession?(path: string): string | undefined
  /**
   * Why the session of super block `device` (`major:minor`) at a path does not answer, as a part of a sentence for people. Such a session is not replaced: its shield or
   * dummy-fused has it served again. Undefined for a session that may be replaced. `time`: milliseconds in which it says so. Never rejects. Left out by a host whose sessions may all be replaced.
   */
  silence?(path: string, device: string, time?: number): Promise<string | undefined>
  /** Left out by a host whose daemons are resumed or ended by hand, and whose sessions end with them. */
  readonly advice?: SessionAdvice
  /** Why this host cannot serve any session, as a message for people; undefined if it can. */
  unavailableReason(): string | undefined
}
