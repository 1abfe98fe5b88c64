import type { Libc } from '../libc.ts'

/** A descriptor that the service manager passed to this process (sd_listen_fds_with_names(3)). */
export interface InheritedDescriptor {
  readonly fd: number
  /** FDNAME, or a socket unit's FileDescriptorName; `unknown` where none was given. */
  readonly name: string
}

/** Where inherited descriptors begin, SD_LISTEN_FDS_START. */
const FIRST = 3

/**
 * The descriptors that were passed to this process (LISTEN_FDS), with FD_CLOEXEC set; none if LISTEN_PID names another process. Removes the variables
 * from the environment.
 */
export function inheritedDescriptors(env: NodeJS.ProcessEnv, libc: Libc): readonly InheritedDescriptor[] {
  const { LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_FDNAMES: names = '' } = env
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID']) Reflect.deleteProperty(env, name)
  if (pid !== String(process.pid) || count === undefined || !/^\d+$/.test(count)) return []
  const each = names.split(':')
  return Array.from({ length: Number(count) }, (_, index) => {
    const fd = FIRST + index
    libc.closeOnExec(fd)
    return { fd, name: each[index] ?? 'unknown' }
  })
}
