/** One run of a mount command on a private node. */
export interface MountTrial {
  /** Its words; `{target}` in them is the directory to mount at. */
  readonly words: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** What strace(1) does to its system calls: the value of `-e inject=`; undefined if it is left alone. */
  readonly injection?: string
  /** Whether there is no /dev/fuse. */
  readonly hidesDevice: boolean
  /** Milliseconds for which is watched whether it returns, and whether it mounts. */
  readonly patience: number
}

/** What was seen of one run. Times are milliseconds since the start. */
export interface MountSeen {
  /** How the command ended; undefined if it went on. */
  readonly returned?: { readonly after: number; readonly status: number | null; readonly signal: string | null }
  /** Whether a FUSE mount stood at the target, and answered, when the command returned. */
  readonly stoodAtReturn: boolean
  /** When a FUSE mount stood at the target and answered; undefined if none did. */
  readonly stoodAfter?: number
  /** What the command, and whatever it left, wrote to standard output and standard error. */
  readonly output: string
  /** Which descriptors of its caller the processes that it left have: names for people. */
  readonly holds: readonly string[]
}
