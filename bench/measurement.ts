import type { Sandbox } from '../test/support/sandbox.ts'
import type { Row } from './row.ts'

/** A part of the bench. What it starts, mounts and writes is in the sandbox, which is its own. */
export interface Measurement {
  /** One word, for --rows. */
  readonly name: string
  readonly about: string
  readonly measure: (sandbox: Sandbox, rounds: number) => Promise<readonly Row[]>
}
