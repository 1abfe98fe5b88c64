import { checkedLimits } from '../../limits.ts'

/** The limits of dummy-fuse that no option sets; times are milliseconds. */
export const DUMMY_FUSE_LIMITS = checkedLimits(
  {
    nextOrder: {
      value: 2000,
      why: 'A plugin says within milliseconds what an idle daemon is to do; one that is busier than that starts another daemon.',
    },
    giveUp: {
      value: 500,
      why: 'A mount whose starter is gone ends at its next step; one that waits in the kernel must not keep the process alive.',
    },
  },
  () => [],
)
