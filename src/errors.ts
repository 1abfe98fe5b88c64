/** A failure whose message is meant for the person at the terminal, with the exit status it ends the program with. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError'
  readonly status: number

  constructor(message: string, status: number, options?: ErrorOptions) {
    super(message, options)
    this.status = status
  }
}

/** Whether it is a ProgramError, also one of another bundle's class. */
export function isProgramError(error: unknown): error is ProgramError {
  return error instanceof Error && error.name === 'ProgramError' && 'status' in error && typeof error.status === 'number'
}

/** Wrong words on the command line: every program of ours exits with 2 then. */
export class UsageError extends ProgramError {
  constructor(message: string) {
    super(message, 2)
  }
}

/** A failed system call: `code` is the errno's name (`EBUSY`), `errno` its number, `path` what it was about. */
export class SystemError extends Error {
  override readonly name = 'SystemError'
  readonly code: string
  readonly errno: number
  readonly syscall: string
  readonly path: string | undefined

  constructor(syscall: string, code: string, errno: number, path?: string) {
    super(`${syscall}${path === undefined ? '' : ` ${path}`}: ${errnoText(code)}`)
    this.syscall = syscall
    this.code = code
    this.errno = errno
    this.path = path
  }
}

/** A failure of node:fs as a SystemError that names the path; whatever else was thrown as it is. Node's own error names no path where it has a descriptor. */
export function naming(path: string, error: unknown): unknown {
  if (error instanceof SystemError) return error
  const { code, errno, syscall } = error as NodeJS.ErrnoException
  if (code === undefined || errno === undefined || syscall === undefined) return error
  return new SystemError(syscall, code, -errno, path)
}

const TEXTS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EAGAIN: 'resource temporarily unavailable',
  EBUSY: 'device or resource busy',
  ECONNABORTED: 'software caused connection abort',
  ECONNREFUSED: 'connection refused',
  EDQUOT: 'disk quota exceeded',
  EEXIST: 'file exists',
  EINTR: 'interrupted system call',
  EINVAL: 'invalid argument',
  EIO: 'input/output error',
  EISDIR: 'is a directory',
  ELOOP: 'too many levels of symbolic links',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'file name too long',
  ENFILE: 'too many open files in system',
  ENODEV: 'no such device',
  ENOENT: 'no such file or directory',
  ENOMEM: 'cannot allocate memory',
  ENOSPC: 'no space left on device',
  ENOSYS: 'function not implemented',
  ENOTCONN: 'transport endpoint is not connected',
  ENOTDIR: 'not a directory',
  ENOTEMPTY: 'directory not empty',
  EPERM: 'operation not permitted',
  EROFS: 'read-only file system',
  ESTALE: 'stale file handle',
  ETIMEDOUT: 'connection timed out',
}

/** What strerror(3) says to an errno's name, in the lower case that Go programs print; the name itself if it is a rare one. */
export function errnoText(code: string): string {
  return TEXTS[code] ?? code
}

/** The kind of failure that an errno makes of a call, in the words of the RPCs' errors. */
export function failureKind(code: string | undefined): 'exhausted' | 'unavailable' | 'invalid' | 'internal' {
  switch (errnoMeaning(code)) {
    case 'exhausted':
      return 'exhausted'
    case 'again':
      return 'unavailable'
    case 'caller':
      return 'invalid'
    case undefined:
      return 'internal'
  }
}

/**
 * What an errno means for the caller: `exhausted`, something has run out (descriptors, memory, processes, disk); `again`, the same call
 * may succeed later; `caller`, the kernel cannot follow the path that was given. Undefined: calling again does not help.
 */
export function errnoMeaning(code: string | undefined): 'exhausted' | 'again' | 'caller' | undefined {
  return code === undefined ? undefined : MEANINGS[code]
}

const MEANINGS: Readonly<Record<string, 'exhausted' | 'again' | 'caller'>> = {
  EAGAIN: 'exhausted',
  EDQUOT: 'exhausted',
  EMFILE: 'exhausted',
  ENFILE: 'exhausted',
  ENOBUFS: 'exhausted',
  ENOMEM: 'exhausted',
  ENOSPC: 'exhausted',
  EBUSY: 'again',
  ECONNABORTED: 'again',
  ECONNREFUSED: 'again',
  EINTR: 'again',
  EIO: 'again',
  ENODEV: 'again',
  ENOENT: 'again',
  ENOTCONN: 'again',
  EROFS: 'again',
  ESTALE: 'again',
  ETIMEDOUT: 'again',
  ELOOP: 'caller',
  ENAMETOOLONG: 'caller',
}

/** System calls of which ENOSPC says that there are too many mounts (fs/namespace.c, count_mounts). */
const MOUNTING = new Set(['mount', 'fsmount', 'move_mount', 'open_tree'])

const REMEDIES: Readonly<Record<string, string>> = {
  EAGAIN: 'raise the limit of processes (TasksMax=, ulimit -u, kernel.pid_max)',
  EDQUOT: 'raise the quota, or free some of it',
  EMFILE: 'raise the limit of open files (LimitNOFILE=, ulimit -n)',
  ENFILE: 'raise the number of open files of this machine (fs.file-max)',
  ENOBUFS: 'free memory, or raise its limit (MemoryMax=)',
  ENOMEM: 'free memory, or raise its limit (MemoryMax=)',
  ENOSPC: 'free space and inodes on the file system',
}

/** A message about an error, with what to raise or to free where something of this node has run out. */
export function withRemedy(message: string, error: unknown): string {
  const code = codeOf(error) ?? ''
  const tooManyMounts = code === 'ENOSPC' && error instanceof Error && 'syscall' in error && MOUNTING.has(String(error.syscall))
  const remedy = tooManyMounts ? 'raise the number of mounts of a namespace (fs.mount-max)' : REMEDIES[code]
  return remedy === undefined ? message : `${message}; ${remedy}`
}

/** The errno's name that an error of Node's or of ours carries (`ENOENT`), if it carries one. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** One line that says what went wrong, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
