import { checkedLimits } from '../limits.ts'

/** The limits of a program's metrics; times are milliseconds. */
export const METRICS_LIMITS = checkedLimits(
  {
    request: { value: 10_000, why: 'A scraper sends its request at once; one that does not keeps a descriptor.' },
    connections: { value: 100, why: 'A program has one scraper or two, and each connection takes a descriptor.' },
    loopLook: {
      value: 1000,
      why: 'The delay of the event loop is looked at so often; each look wakes the process, which sleeps otherwise.',
    },
  },
  () => [],
)
