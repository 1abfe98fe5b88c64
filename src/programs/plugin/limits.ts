import { SHARED_LIMITS } from '../../os/limits.ts'
import { checkedLimits, type Limits, type LimitTable } from '../../limits.ts'

/** The least and the most that --call-deadline takes, in seconds. */
export const CALL_DEADLINE = { least: 1, most: 3600, standard: 10 } as const

/** What the command line says of the limits. */
interface Given {
  /** Milliseconds for each call. */
  readonly callDeadline: number
  readonly startsAtOnce: number
}

/** The limits of the plugin; times are milliseconds. */
export type PluginLimits = Limits<ReturnType<typeof table>>

/** The plugin's limits. Throws an Error if they contradict each other. */
export function pluginLimits(given: Given): PluginLimits {
  return checkedLimits(
    table(given),
    ({
      call,
      callMargin,
      retryPause,
      promptProbe,
      probe,
      grace,
      leastStart,
      restoresAtOnce,
      startsAtOnce,
      tidyQuiet,
      tidyLatest,
      healthAnswer,
      idleLooks,
      silentMount,
      search,
      health,
    }) => [
      ['health is told within a second', health < 1000],
      ['a silent dummy-fused leaves its mount the time to answer', healthAnswer + idleLooks * retryPause + silentMount <= health],
      ['a search leaves the mounts that it finds the time to answer', search + silentMount <= health],
      ['the margin leaves most of a call to its work', callMargin * 5 <= call],
      ['a call outlives a pause between two attempts', retryPause < callMargin],
      ['a mount that is well answers before it counts as hung', promptProbe < probe],
      ['a start fits a call', leastStart < call],
      ['a daemon may end by itself within a call', grace < call],
      ['memory is given back in a pause, where there is one', tidyQuiet < tidyLatest],
      ['restoring keeps the start queue busy', restoresAtOnce > startsAtOnce],
    ],
  )
}

function table({ callDeadline, startsAtOnce }: Given) {
  return {
    call: { value: callDeadline, why: '--call-deadline; the kubelet itself gives up after two minutes.' },
    callMargin: {
      value: Math.min(1000, callDeadline / 5),
      why: 'Undoing a mount takes SIGKILL, the end of the daemon and an umount2(2); on a busy machine that takes half a second.',
    },
    drain: { value: callDeadline, why: 'A server that closes lets the calls under way come to their end.' },
    connections: {
      value: 4000,
      why: 'A kubelet has one connection for each call, and a full node has a thousand volumes; each connection takes a descriptor.',
    },
    streams: { value: 1000, why: 'As many calls as connections, for a client that has one connection for all.' },
    handshake: {
      value: 10_000,
      why: 'A client on a busy machine begins to speak within seconds; one that never does keeps a descriptor.',
    },
    resume: {
      value: 600_000,
      why: 'As long as the holder of the chart keeps a session; a full node has a hundred shields to start, and their readers wait.',
    },
    handover: {
      value: 45_000,
      why: 'A holder whose pod is being replaced is back by then; the kubelet gives the plugin a minute to end.',
    },
    holderPatience: { value: 1000, why: 'A holder answers within milliseconds, on a busy machine within a second.' },
    handoverPause: { value: 200, why: 'A new holder listens, and has the sessions, within that time.' },
    hangUp: { value: 200, why: 'A client on the same machine takes its last answer within milliseconds.' },
    tidyQuiet: {
      value: 1000,
      why: 'Calls come in groups; the memory that they took is given back when a group is over, and none waits.',
    },
    tidyLatest: { value: 60_000, why: 'A plugin that is called without a pause gives its memory back once a minute.' },
    startsAtOnce: { value: startsAtOnce, why: '--starts-at-once; a start takes a processor for its whole time.' },
    leastStart: {
      value: Math.min(2000, callDeadline / 2),
      why: 'A start takes 0.1 s on an idle machine and a second on a busy one; one that is cut off was in vain.',
    },
    promptMount: {
      value: 500,
      why: 'A mount whose storage answers takes milliseconds; a longer one waits, and takes no processor.',
    },
    placeKept: { value: 300_000, why: 'The kubelet calls again after two minutes and two seconds at the latest.' },
    probe: { value: SHARED_LIMITS.probe, why: 'As every program asks a mount.' },
    busyPause: { value: 5, why: 'A file that is being opened or created keeps its mount writable for microseconds.' },
    busyAttempts: { value: 20, why: 'A mount that is still busy after 100 ms has a file that stays open for writing.' },
    probesAtOnce: { value: 16, why: 'Each question is a process; a machine keeps up with that many.' },
    promptProbe: { value: 100, why: 'A question that takes longer waits for a mount, and takes no processor.' },
    grace: {
      value: Math.min(1000, callDeadline / 4),
      why: 'A daemon that is unmounted everywhere ends within milliseconds; one that is still used is killed.',
    },
    question: {
      value: Math.min(4000, callDeadline / 2),
      why: 'A dummy-fused that is being replaced is back before; health tells of one that hangs within its call.',
    },
    actingQuestion: {
      value: callDeadline,
      why: 'The whole time of a call: on a busy node a successor of dummy-fused takes seconds to start, and a kubelet whose call fails only calls again.',
    },
    health: {
      value: 850,
      why: 'A kubelet asks for the health of one volume after the other; an answer takes less than a second in all, and what is silent is hung by then.',
    },
    healthAnswer: {
      value: 350,
      why: 'A dummy-fused that is well answers within milliseconds, on a busy machine within some hundred.',
    },
    idleLooks: {
      value: 5,
      why: 'A dummy-fused that starts on a busy machine also waits for its disk and its threads, and is not runnable at each moment.',
    },
    silentMount: {
      value: 350,
      why: 'The rest of the time for health. A standby that serves answers within milliseconds.',
    },
    answerAge: {
      value: 500,
      why: 'Calls for the health of a thousand volumes come within that time and share an answer; who asks once a minute gets a new one.',
    },
    search: {
      value: 500,
      why: 'A kubelet asks for the health of one volume after the other; a search of /proc takes a tenth of that on a full node.',
    },
    serviceStart: {
      value: 30_000,
      why: 'A dummy-fused of --daemons shared serves within 0.2 s, after a crash once it has taken off what each lost session left mounted.',
    },
    silence: {
      value: 3 * callDeadline,
      why: 'By default as WatchdogSec= of dummy-fused.service: a dummy-fused that answers nothing for so long serves no volume, and is replaced.',
    },
    scopeWait: {
      value: Math.min(3000, callDeadline / 3),
      why: 'systemd gives a scope within 20 ms, on a busy machine within a second; the daemon has to start after that.',
    },
    scopeRetry: {
      value: 60_000,
      why: 'A bus that was restarted is back by then; until it is, a start does not wait for it in vain.',
    },
    programLook: {
      value: 10,
      why: 'A look at the mount table takes microseconds, and a program takes 5 to 500 ms to mount.',
    },
    programSearch: {
      value: 100,
      why: 'A search of /proc takes some milliseconds on a full node; a command that has returned without a mount is told soon after.',
    },
    retryPause: { value: Math.min(20, callDeadline / 50), why: 'A successor of dummy-fused takes 40 ms to listen.' },
    restoresAtOnce: { value: startsAtOnce + 14, why: 'Most volumes that are restored are alive, and only looked at.' },
    spareDelay: {
      value: 50,
      why: 'A volume that lives for a moment leaves its daemon as the spare, and another volume needs no start.',
    },
    spareKept: { value: 300_000, why: 'A node on which nothing is staged for 5 minutes gets its memory back.' },
    unasked: {
      value: 30_000,
      why: 'A kubelet finds a socket within two seconds, and one that starts walks its folder within some more.',
    },
    registrationLook: {
      value: 5000,
      why: 'A folder that was replaced is told soon after; a look is one stat(2).',
    },
    registrationRename: {
      value: 10_000,
      why: 'The kubelet tries again after 0.5, 1, 2, 4 and 8 s by itself; a new name is for later, when it waits for up to two minutes.',
    },
    registrationOverlooked: {
      value: 10_000,
      why: 'The kubelet asks by a new name within two seconds, unless a former plugin was refused by the same name.',
    },
    registrationRenameMost: {
      value: 60_000,
      why: 'The kubelet remembers each name that it refused; a plugin that is refused for days makes it remember one a minute.',
    },
    socketWait: { value: 1000, why: 'The socket is opened after that time though volumes are still being restored.' },
  } satisfies LimitTable
}
