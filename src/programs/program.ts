/** How to start this executable again as the same program, with other arguments. */
export interface SelfCommand {
  readonly executable: string
  readonly args: readonly string[]
  readonly argv0: string
}

/** What main hands to a program. */
export interface ProgramContext {
  /** The arguments after the program's name. */
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** This program again. */
  readonly self: (args: readonly string[]) => SelfCommand
  /** Another program of this executable, by the name that is its argv[0]. */
  readonly other: (name: string, args: readonly string[]) => SelfCommand
}

/** A program resolves to its exit status. A ProgramError that it throws is its last line and its status. */
export type Program = (context: ProgramContext) => Promise<number>
