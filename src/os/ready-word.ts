/** The variable that tells a daemon on which descriptor whoever started it waits for its word. */
export const READY_FD = 'DUMMY_FUSE_READY_FD'

/** What the daemon says there once INIT has been handled. */
export const READY = 'ready\n'
