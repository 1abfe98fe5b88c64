import { type Failure, nothing } from './failure.ts'

/** The cell without a failure that a run with somebody's driver begins with. It is none of those that can be chosen. */
export const firstUse: Failure = {
  id: 'first-use',
  title: 'First use',
  words:
    'Nothing fails. The volume is published for each consumer, and each consumer reads as soon as NodePublishVolume has answered.',
  strike: nothing,
  mend: nothing,
}
