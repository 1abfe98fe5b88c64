import { checkedLimits } from '../../limits.ts'

/** The limits of the restarter that no option sets; times are milliseconds. */
export const RESTARTER_LIMITS = checkedLimits(
  {
    request: { value: 10_000, why: 'An API server answers within milliseconds, under load within seconds.' },
    connections: { value: 60_000, why: 'A token or certificate that was renewed is used within a minute, as by client-go.' },
    page: { value: 500, why: "client-go's pager takes as many; a page of pods is a few megabytes." },
    resync: { value: 600_000, why: 'A watch that has missed something is right again after ten minutes.' },
    watch: {
      value: 20_000,
      why: 'The server proves by a bookmark two seconds before that the watch misses nothing. The client ends a silent watch after 30 s.',
    },
    current: { value: 30_000, why: 'A watch of 20 s has told something by then, or a list has.' },
    shortestWatch: { value: 1000, why: 'A server that ends each watch at once would be asked without a pause.' },
    watchRetryFirst: { value: 500, why: 'An API server that restarts is often back within a second.' },
    watchRetryLongest: { value: 30_000, why: 'An API server that is back is used again within half a minute.' },
    leaseDuration: { value: 15_000, why: "client-go's default: a leader that was killed has a successor within that time." },
    renewDeadline: { value: 10_000, why: "client-go's default." },
    retryPeriod: { value: 2000, why: "client-go's default." },
    release: { value: 2000, why: 'A process that is stopped ends at once, also when the API server does not answer.' },
    settle: { value: 1000, why: 'Pods of a node lose their volumes together, and one look covers them.' },
    look: { value: 30_000, why: 'Deadlines of evictions pass without a change of a pod.' },
    silentNode: { value: 30_000, why: 'A plugin that is back, or a node, is noticed within half a minute.' },
    unseen: {
      value: 30_000,
      why: 'The watch tells of an eviction within milliseconds, after an interruption once it is made again.',
    },
    controllers: {
      value: 10_000,
      why: 'A workload that is scaled down is seen soon, and no controller is asked for at each look.',
    },
    refusedFirst: { value: 10_000, why: 'The API server asks for ten seconds when a disruption budget refuses.' },
    refusedLongest: { value: 300_000, why: 'A budget that is lifted is seen within five minutes.' },
    eventRepeat: { value: 3_600_000, why: 'The API server removes events after an hour, unless it is told otherwise.' },
  },
  ({
    request,
    leaseDuration,
    renewDeadline,
    retryPeriod,
    release,
    refusedFirst,
    refusedLongest,
    unseen,
    watchRetryLongest,
    watch,
    current,
  }) => [
    [
      'a leader stops before its lease is free, even if it notices a retry period later',
      renewDeadline + retryPeriod < leaseDuration,
    ],
    ['a lease is renewed several times before its deadline', retryPeriod * 3 < renewDeadline],
    ['a lease is a number of whole seconds', leaseDuration % 1000 === 0],
    ['giving the lease back is no longer than waiting for it', release < leaseDuration],
    ['a request is over before its leader must stop', request <= renewDeadline],
    ['the first wait is not longer than the longest', refusedFirst <= refusedLongest],
    ['a watch that has brought nothing is over, and a list is there, before the pods are too old', watch + request <= current],
    ['a watch is made again before an eviction counts as not seen', watchRetryLongest <= unseen],
  ],
)
