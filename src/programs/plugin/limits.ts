import { checkedLimits, type Limits, type LimitTable } from '../../limits.ts'

/** The least and the most that --call-deadline takes, in seconds. */
export const CALL_DEADLINE = { least: 1, most: 3600, standard: 10 } as const

/** The limits of the plugin; times are milliseconds. */
export type PluginLimits = Limits<ReturnType<typeof table>>

/** The plugin's limits with `callDeadline` milliseconds for each call. Throws an Error if they contradict each other. */
export function pluginLimits(callDeadline: number): PluginLimits {
  return checkedLimits(table(callDeadline), ({ call, callMargin }) => [
    ['the margin leaves most of a call to its work', callMargin * 5 <= call],
  ])
}

function table(callDeadline: number) {
  return {
    call: { value: callDeadline, why: '--call-deadline; the kubelet itself gives up after two minutes.' },
    callMargin: {
      value: Math.min(1000, callDeadline / 5),
      why: 'Undoing a mount takes SIGKILL, the end of the daemon and an umount2(2); on a busy machine that takes half a second.',
    },
    drain: { value: callDeadline, why: 'A server that closes lets the calls under way come to their end.' },
    hangUp: { value: 200, why: 'A client on the same machine takes its last answer within milliseconds.' },
  } satisfies LimitTable
}
