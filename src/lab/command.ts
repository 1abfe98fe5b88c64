/** A program to start: of this executable, or whatever stands in for it. */
export interface Command {
  readonly executable: string
  readonly args: readonly string[]
  readonly argv0: string
}

/** The programs that the lab drives from outside. */
export interface Programs {
  /** The CSI plugin with these flags after `serve`. */
  readonly plugin: Command
  /** The consumer; its flags follow. */
  readonly workload: Command
  /** The service that holds FUSE sessions; its flags follow. */
  readonly fused: Command
  /** The keeper; its flags follow, then `--` and a program. */
  readonly keep: Command
  /** The shield; its flags and a mount point follow, then `--` and a FUSE daemon. */
  readonly shield: Command
  /** The FUSE daemon of one volume; its flags and a mount point follow. */
  readonly fuse: Command
  /** The lab's own consumer, which tells of each of its reads; its flags follow. */
  readonly consumer: Command
}

/** The same program with further words. */
export function withArgs(command: Command, args: readonly string[]): Command {
  return { ...command, args: [...command.args, ...args] }
}
