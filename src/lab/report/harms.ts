import type { Cell } from '../matrix/lab-record.ts'
import type { Effect } from './effects.ts'

/** What a failure does to the consumers of a driver. */
export type ConsumerHarm =
  | 'lost-synced'
  | 'lost-unsynced'
  | 'astray'
  | 'for-ever'
  | 'until-restart'
  | 'undecided'
  | 'for-a-time'
  | 'stalls'
  | 'none'

/** What is wrong when the pods leave the node. */
export type TeardownHarm = 'astray' | 'new-pod-broken' | 'stuck' | 'unstage-fails' | 'left-behind'

export type Harm = ConsumerHarm | TeardownHarm

/** The worst first. */
export const HARMS: Readonly<Record<Harm, { readonly title: string; readonly effect: Effect }>> = {
  'lost-synced': { title: 'Writes lost that fsync had acknowledged', effect: 'lost' },
  astray: { title: "Data on the node's own disk", effect: 'wrong' },
  'new-pod-broken': { title: 'A new pod does not read when all others have left', effect: 'broken' },
  'for-ever': { title: 'Errors for ever', effect: 'broken' },
  'lost-unsynced': { title: 'Writes lost that write or close had acknowledged', effect: 'lost' },
  stuck: { title: 'Stuck in Terminating', effect: 'broken' },
  'unstage-fails': { title: 'The volume cannot leave the node', effect: 'broken' },
  'until-restart': { title: 'Errors until the consumer is restarted', effect: 'broken' },
  undecided: { title: 'Undecided', effect: 'undecided' },
  'left-behind': { title: 'Left on the node', effect: 'recovered' },
  'for-a-time': { title: 'Errors for a time', effect: 'recovered' },
  stalls: { title: 'Stalls', effect: 'waited' },
  none: { title: 'No error', effect: 'kept' },
}

export const HARM_ORDER = Object.keys(HARMS) as readonly Harm[]

/** Failures that did the same to the same consumers, or left the same behind, and of which the same is to be said. All texts are sentences. */
export interface Finding {
  readonly harm: Harm
  readonly failures: readonly string[]
  /** Whom it struck, and for how long; or what is wrong with the teardown. */
  readonly what: string
  /** For each failure, what shows it. */
  readonly evidence: readonly { readonly cell: Cell; readonly text: string }[]
  /** The mitigation that was tried and makes the least of it, or that none does; or what the driver has to do. */
  readonly cure: string
}
