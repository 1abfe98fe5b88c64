import type { Programs } from '../command.ts'
import type { DriverSpec } from '../driver/spec.ts'
import type { OutcomeId } from './lab-record.ts'

/** What the model says of one consumer of a cell. */
export interface Expectation {
  readonly outcome: OutcomeId
  /** What may come of it as well, where a race decides. */
  readonly or?: readonly OutcomeId[]
  readonly reason: string
  readonly source: string
}

/** A cell to carry out on a private node. */
export interface CellJob {
  readonly kind: 'cell'
  readonly failure: string
  readonly mitigation: string
  /** By the ids of the consumers that take part. Without a model, null. */
  readonly consumers: Readonly<Record<string, Expectation | null>>
  readonly programs: Programs
  /** A plugin in the place of ours. */
  readonly driver?: DriverSpec
  /** Where systemd can be had: the name, without `.slice`, of the slice that the cell has to itself. */
  readonly slice?: string
}
