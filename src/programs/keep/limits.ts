import { checkedLimits } from '../../limits.ts'

/** The limits of keep that no option sets; times are milliseconds. */
export const KEEP_LIMITS = checkedLimits(
  {
    watchdog: {
      value: 30_000,
      why: 'WatchdogSec= of the units in systemd/: a busy machine delays a sign of life by seconds, and an idle daemon is woken for each.',
    },
    stopped: {
      value: 3000,
      why: 'Its readers wait, for less than five seconds with the start of the successor. The kernel tells that it is stopped, whether the machine is busy or not; who stops it for a snapshot lets it go on before.',
    },
    abortGrace: {
      value: 1000,
      why: 'Between SIGABRT for a program that missed its watchdog and SIGKILL: the time to write a core file.',
    },
    lastWait: {
      value: 5000,
      why: 'What is left after SIGKILL waits in the kernel for a file system or a device, perhaps for ever.',
    },
    predecessor: {
      value: 10_000,
      why: 'The program of a keep that was killed has its socket until it ends. A dummy-fused that is stopped or busy takes seconds for that.',
    },
    predecessorPause: { value: 50, why: 'Between two looks at a socket that is still listened on.' },
  },
  ({ watchdog, abortGrace, stopped }) => [
    ['a program has less time to end by SIGABRT than it may be silent', abortGrace < watchdog],
    ['a program that is stopped has less time than one that is silent', stopped < watchdog],
  ],
)
