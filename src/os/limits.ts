import { checkedLimits } from '../limits.ts'

/** The limits that all programs share; times are milliseconds. */
export const SHARED_LIMITS = checkedLimits(
  {
    probe: {
      value: 2000,
      why: 'A mount that answers at all does so within milliseconds, on a busy machine within a second.',
    },
    syncDelay: { value: 50, why: 'Calls come in groups, and one sync of the folder covers the files of a group.' },
    closePause: {
      value: 1000,
      why: 'Between two attempts to start the thread that closes a descriptor; a lack of memory or of processes may be over by then.',
    },
    socketSettle: { value: 3000, why: 'A process that is started in place of this one listens on the socket within that time.' },
    socketPeriod: {
      value: 10_000,
      why: 'Between two checks for what inotify(7) does not tell: a folder above the socket that was moved, or is mounted over.',
    },
    logPeriod: { value: 10_000, why: 'A log with a few lines in that time stays readable, and does not fill a disk.' },
    logLines: { value: 10, why: 'Lines of one kind in that time; more of them tell nothing new.' },
    statusPause: { value: 1000, why: 'A node that starts has many changes at once, and one STATUS covers them.' },
  },
  ({ socketSettle, socketPeriod }) => [['a missing socket is made again before the next check', socketSettle < socketPeriod]],
)
