import type { Catalogue, ConsumerResult, OutcomeId, Verdict } from './lab-record.ts'

/** Every outcome, best first. Two of the same rank are neither better nor worse than each other. */
export const OUTCOMES: Catalogue['outcomes'] = {
  works: { rank: 0, symbol: '✓', title: 'works', words: 'No read failed, and none took a second or longer.' },
  waits: {
    rank: 1,
    symbol: '◷',
    title: 'waits, then works',
    words: 'No read failed. At least one took a second or longer, and was then right.',
  },
  'starts-late': {
    rank: 1,
    symbol: '▷',
    title: 'starts late',
    words: 'It could be started only after the volume was mounted again. No read failed.',
  },
  recovers: {
    rank: 2,
    symbol: '↻',
    title: 'errors, then works',
    words: 'Reads failed for a time. Then the same process read right again.',
  },
  restarted: {
    rank: 3,
    symbol: '⟲',
    title: 'works after its restart',
    words: 'Its process ended, and the process that replaced it reads right.',
  },
  'writes-to-host-recovers': {
    rank: 4,
    symbol: '◐',
    title: "node's disk, then works",
    words: "For a time it saw the node's own folder instead of the volume. Data that it wrote then is on the node's disk.",
  },
  undecided: {
    rank: 5,
    symbol: '…',
    title: 'undecided',
    words: 'The lab did not watch it for long enough to say what comes of it.',
  },
  errors: {
    rank: 5,
    symbol: '✗',
    title: 'errors for ever',
    words: 'Its reads fail to the end, also after the repair of the node.',
  },
  'never-starts': { rank: 5, symbol: '⊘', title: 'never starts', words: 'It could not be started at all.' },
  hangs: { rank: 6, symbol: '∞', title: 'hangs', words: 'A read did not return.' },
  'loses-unsynced': {
    rank: 6,
    symbol: '▽',
    title: 'loses writes',
    words:
      'Records that write or close had acknowledged, and fsync had not, are not in the file at the end. Without fsync, nothing promises that they are stored.',
  },
  'writes-to-host': {
    rank: 7,
    symbol: '⚠',
    title: "node's own disk",
    words: "It sees the node's own folder instead of the volume, to the end. Data that it writes is on the node's disk.",
  },
  'loses-synced': {
    rank: 8,
    symbol: '▼',
    title: 'loses synced writes',
    words: 'Records that fsync had acknowledged are not in the file at the end, although fsync promises that they are stored.',
  },
}

/** Outcomes of a consumer that does not read right at the end of its watch. */
export const TO_THE_END: readonly OutcomeId[] = ['errors', 'never-starts', 'hangs', 'writes-to-host']

/** Outcomes of a consumer that lost records which had been acknowledged. */
export const LOSING: readonly OutcomeId[] = ['loses-unsynced', 'loses-synced']

/** How one consumer's outcome compares with the model's. What is undecided is neither better nor worse than anything. */
export function compare(seen: OutcomeId, expected: OutcomeId): 'same' | 'better' | 'worse' | 'different' {
  if (seen === expected) return 'same'
  if (seen === 'undecided' || expected === 'undecided') return 'different'
  const difference = OUTCOMES[seen].rank - OUTCOMES[expected].rank
  return difference < 0 ? 'better' : difference > 0 ? 'worse' : 'different'
}

/** What the consumers of a cell come to together, and in words what differs. `left`: what else is not as it must be, if anything. */
export function verdictOf(
  results: readonly Pick<ConsumerResult, 'consumer' | 'seen' | 'expected' | 'alsoExpected'>[],
  left?: string,
): { readonly verdict: Verdict; readonly why?: string } {
  const differing = results.filter(({ seen, expected, alsoExpected }) => seen !== expected && alsoExpected?.includes(seen) !== true)
  if (differing.length === 0 && left === undefined) return { verdict: 'as-modelled' }
  const kinds = new Set(differing.map(({ seen, expected }) => compare(seen, expected)))
  if (left !== undefined) kinds.add('worse')
  const [only] = kinds
  const verdict = kinds.size === 1 && (only === 'better' || only === 'worse') ? only : 'different'
  const words = differing.map(
    ({ consumer, seen, expected }) => `${consumer}: ${OUTCOMES[seen].title}, not ${OUTCOMES[expected].title}`,
  )
  return { verdict, why: [...words, ...(left === undefined ? [] : [left])].join('; ') }
}
