import { checkedLimits } from '../../limits.ts'

/** The limits of shield that no option sets; times are milliseconds. */
export const SHIELD_LIMITS = checkedLimits(
  {
    start: {
      value: 60_000,
      why: 'A daemon that reaches its storage takes seconds; one that has not mounted after a minute hangs.',
    },
    store: { value: 10_000, why: 'A service manager that takes no descriptor by then does not keep it; the mount waits for that.' },
    holderPatience: {
      value: 1000,
      why: 'A holder takes descriptors in within milliseconds; one that hangs must not keep a mount from its users.',
    },
    fetch: {
      value: 120_000,
      why: 'A holder whose pod is being replaced is back by then, and hands over within milliseconds. Until then readers wait; then they get errors.',
    },
    leave: {
      value: 1000,
      why: 'Most daemons end at SIGTERM at once; go-fuse waits for an unmount that cannot come, and ends when its device does.',
    },
    end: { value: 10_000, why: 'A daemon that is asked to end may have to tell its server first.' },
    killed: { value: 2000, why: 'A process that SIGKILL has not ended by then is in the kernel, where nothing ends it.' },
    answer: { value: 5000, why: 'A shield answers within milliseconds; a busy machine may take seconds.' },
    silence: {
      value: 1000,
      why: 'A plugin asks why a mount does not answer, and has a call to answer itself; a shield answers within milliseconds.',
    },
    look: { value: 50, why: 'Between two looks for the successor of a shield that was killed.' },
    processEnd: { value: 5000, why: 'A process that has done all but end takes milliseconds, on a busy machine seconds.' },
    takeover: { value: 60_000, why: 'The least time that the keeper of a shield waits for a successor; --give-up may be shorter.' },
    stop: { value: 90_000, why: 'A shield that has not ended by then hangs itself, and its keeper kills it.' },
    background: {
      value: 90_000,
      why: 'A shield that has not said by then whether its daemon serves hangs itself: it kills a daemon after a minute.',
    },
  },
  ({ background, stop, start, leave, end, killed }) => [
    ['the wait for the end of a shield is longer than the wait for the end of its daemon', stop > 2 * end + leave + 2 * killed],
    [
      'the wait for a shield in the background is longer than the start and the end of its daemon',
      background > start + end + killed,
    ],
  ],
)
