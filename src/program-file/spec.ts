import type { Template } from './template.ts'

/** Which values a parameter or a mount flag may have. A flag without a rule takes no value. */
export interface Rule {
  /** For messages: `one of a, b`, or `a text that matches …`. */
  readonly form: string
  readonly allows: (value: string) => boolean
}

/** A parameter of a StorageClass, which is an attribute of its volumes. */
export interface Parameter {
  readonly rule: Rule
  readonly default: string | undefined
  readonly optional: boolean
  /** The mount option for a value; undefined if it has none. */
  readonly option: Template | undefined
  readonly words: readonly Template[]
  /** Whether a pod may set it for an inline ephemeral volume. */
  readonly inline: boolean
}

/** A mount flag of a capability that the program gets. */
export interface MountFlag {
  /** Undefined for a flag without a value. */
  readonly rule: Rule | undefined
  /** In place of a mount option; undefined if it is one. */
  readonly words: readonly Template[] | undefined
}

/** How a program is made to end. */
export interface StopRule {
  readonly by: 'unmount' | 'signal' | 'command'
  readonly signal: NodeJS.Signals
  readonly command: readonly Template[]
  /** Milliseconds until it is killed. */
  readonly within: number
}

/** How volumes of a program are served behind a shield, with --fuse-host service. */
interface ShieldRule {
  /** Undefined: as it has to be for the program. */
  readonly readOnly: boolean | undefined
  readonly stableInodes: boolean
  /** Seconds; undefined: the standard of the shield. */
  readonly giveUp: number | undefined
}

/** A FUSE program that serves volumes, as its file describes it (docs/programs.md). */
export interface ProgramSpec {
  readonly name: string
  /** The first word has no placeholder. */
  readonly command: readonly Template[]
  readonly start: 'foreground' | 'background'
  readonly needs: readonly string[]
  readonly environment: ReadonlyMap<string, Template>
  readonly secrets: readonly string[]
  readonly keepSecrets: 'staged' | 'mounted'
  readonly files: ReadonlyMap<string, Template>
  readonly parameters: ReadonlyMap<string, Parameter>
  readonly mountFlags: ReadonlyMap<string, MountFlag>
  readonly options: readonly string[]
  readonly stop: StopRule
  readonly shield: ShieldRule
}
