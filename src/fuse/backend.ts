/** How a session came to its end: unmounted everywhere, or its connection was cut while it is still mounted. */
export type SessionEnd = 'unmounted' | 'aborted'

/** One mounted file system that is being served. */
export interface Session {
  /** The values that were negotiated at INIT, as a line for the log; undefined for a backend that does not tell. */
  readonly negotiated: string | undefined
  /** Resolves when the kernel has no more requests for this session. */
  readonly ended: Promise<SessionEnd>
  /**
   * Unmounts the mount point, also while it is in use, and stops waiting for the session's end.
   * Consumers that still hold it get ENOTCONN once the process is gone.
   */
  close(): void
}

/** Serves a file system to the kernel. */
export interface Backend {
  /**
   * Mounts at an absolute path with mount options as `-o` takes them; the later of two wins. Resolves once the kernel's INIT has
   * been handled; rejects with an Error that says why there is no mount. `signal`: when to give up, where the backend can.
   */
  mount(mountpoint: string, options: readonly string[], signal: AbortSignal): Promise<Session>
  /** Frees its resources. To be called when its sessions have ended, if the process goes on. */
  close(): void
}
