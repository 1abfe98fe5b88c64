import { checkedLimits } from '../../limits.ts'

/** The limits of dummy-fused; times are milliseconds. */
export const FUSED_LIMITS = checkedLimits(
  {
    standardCall: {
      value: 10_000,
      why: 'A client that names no deadline, such as grpcurl, gets the time that the plugin gives a call.',
    },
    longestCall: { value: 3_600_000, why: 'The plugin takes a --call-deadline of up to an hour, and this daemon follows it.' },
    callMargin: { value: 1000, why: 'Undoing a mount takes an umount2(2), the end of its session and a message to the store.' },
    drain: { value: 10_000, why: 'A server that closes lets calls of the standard time come to their end.' },
    standbyPatience: {
      value: 1000,
      why: 'A standby closes a descriptor within milliseconds; one that is stopped must not cost calls their time more than once.',
    },
    fetch: {
      value: 10_000,
      why: 'A standby hands over within milliseconds, on a busy machine within seconds; without its descriptors the sessions are lost.',
    },
    standbyStart: {
      value: 5000,
      why: 'A standby that was killed is started again within 0.3 s, on a busy machine within seconds; it alone may have the sessions that lack a descriptor.',
    },
    handoverPause: { value: 200, why: 'A new standby listens, and has been greeted, within that time.' },
    tidy: {
      value: 5000,
      why: 'A service manager takes messages in within milliseconds; one that hangs must not keep the socket unanswered for longer.',
    },
    jobs: {
      value: 1000,
      why: 'systemd tells its jobs within milliseconds; where it does not, this end is taken for a restart, and readers wait for the successor.',
    },
    tidyQuiet: {
      value: 1000,
      why: 'Calls come in groups; the memory that they took is given back when a group is over, and none waits.',
    },
    tidyLatest: { value: 60_000, why: 'A daemon that is called without a pause gives its memory back once a minute.' },
    threadStop: {
      value: 500,
      why: 'The serving thread stops after the request that it answers; the process ends without it, and its readers wait until then.',
    },
    connections: { value: 1000, why: 'A plugin has one connection for all of its calls; each takes a descriptor.' },
    streams: { value: 1000, why: 'A plugin mounts as many volumes at the same time as its calls ask for.' },
    handshake: {
      value: 10_000,
      why: 'A client on a busy machine begins to speak within seconds; one that never does keeps a descriptor.',
    },
    hangUp: { value: 200, why: 'A client on the same machine takes its last answer within milliseconds.' },
  },
  ({ standardCall, longestCall, callMargin, standbyPatience, fetch, standbyStart, tidy, tidyQuiet, tidyLatest }) => [
    ['a call without a deadline is not longer than the longest', standardCall <= longestCall],
    ['waiting for a standby leaves a call of the standard time most of it', standbyPatience * 5 <= standardCall],
    ['a standby that is started again has time to answer', standbyStart < fetch],
    ['a start is over before a call of the standard time that waits for it', tidy < standardCall],
    ['memory is given back in a pause, where there is one', tidyQuiet < tidyLatest],
    ['the margin leaves most of a call to its work', callMargin * 5 <= standardCall],
  ],
)

/** How often a start of dummy-fused may fail before the next one waits, and for how long; times are milliseconds. */
export const FAILED_START_LIMITS = checkedLimits(
  {
    free: { value: 3, why: 'A cause that passes (a full disk, a busy machine) is often gone by the second start.' },
    first: { value: 1000, why: 'A service manager that starts a program again at once would do nothing else.' },
    longest: { value: 30_000, why: 'The readers wait: a daemon must be back soon after its cause is gone.' },
  },
  ({ first, longest }) => [['the first wait is not longer than the longest', first <= longest]],
)

/** When a record that could not be removed is removed again; times are milliseconds. */
export const RECORD_LIMITS = checkedLimits(
  {
    first: { value: 100, why: 'EIO and EINTR are often over at the next attempt.' },
    longest: { value: 10_000, why: 'A file system that is read-only stays so until somebody mends it.' },
  },
  ({ first, longest }) => [['the first pause is not longer than the longest', first <= longest]],
)

/** The limits of a standby that no option sets; times are milliseconds. */
export const STANDBY_LIMITS = checkedLimits(
  {
    retry: { value: 1000, why: 'Records that cannot be read (EIO, EMFILE) may be readable a moment later, and the readers wait.' },
    greeting: {
      value: 200,
      why: 'A daemon that came while there was no standby sees the next one within milliseconds, and is not served beside; where none came, the readers wait.',
    },
    stopPause: {
      value: 500,
      why: 'The daemon that is killed or stopped together with its standby has ended, or hands over, within that time; the runtime may kill after two seconds.',
    },
    managerPatience: {
      value: 500,
      why: 'A service manager takes messages in within milliseconds; a daemon waits a second for a standby, and must not take it for one that hangs.',
    },
  },
  () => [],
)
