import * as v from 'valibot'

/**
 * What a command and the shield that it is about say to each other: one line of JSON each way on a connection of the shield's socket, after which the connection is
 * closed.
 */

/** `stop` is answered when the shield has done all but end. `upgrade` is answered when it has come out. */
export const REQUEST = v.variant('do', [
  v.object({ do: v.literal('status') }),
  v.object({ do: v.literal('stop') }),
  v.object({
    do: v.literal('upgrade'),
    /** The file that is executed, and the words of the command with its placeholders; the command that runs, if it is not given. */
    command: v.optional(v.object({ file: v.string(), words: v.array(v.string()) })),
    /** The old daemon ends before the new one is started. */
    stopFirst: v.boolean(),
    /** Milliseconds for the start of the new daemon, and for the answers of the old one. */
    wait: v.number(),
    drain: v.number(),
  }),
])

/** What a shield is asked for. */
export type ControlRequest = v.InferOutput<typeof REQUEST>

/** What is asked of a daemon that takes over. */
export type UpgradeRequest = Extract<ControlRequest, { do: 'upgrade' }>

/** The answer to anything that cannot be done. */
export const REFUSED = v.object({ ok: v.literal(false), why: v.string() })

const COUNT = v.number()

/**
 * What starts a successor if the shield is killed: `dummy-fuse-keep`, a process of the shield's own, which ends with it; or the service manager that has
 * started the shield. Null: nothing.
 */
const KEEPER = v.nullable(v.object({ name: v.picklist(['dummy-fuse-keep', 'keep', 'systemd']), pid: v.nullable(COUNT) }))

/** {@link KEEPER}. */
export type ShieldKeeper = v.InferOutput<typeof KEEPER>

/** The answer to `status`. Times are ISO 8601, or seconds. */
const STATUS_ANSWER = v.object({
  ok: v.literal(true),
  mountpoint: v.string(),
  /** `starting`: there is no mount yet. `away`: no daemon serves, and users of the mount wait. */
  state: v.picklist(['starting', 'serving', 'away', 'ending']),
  pid: COUNT,
  since: v.string(),
  keeper: KEEPER,
  /** Whether its mount is the topmost one at the mount point, below another one, or nowhere there. */
  mount: v.picklist(['there', 'covered', 'absent']),
  command: v.array(v.string()),
  daemon: v.nullable(v.object({ pid: COUNT, since: v.string() })),
  away: v.nullable(v.object({ seconds: COUNT, why: v.string() })),
  /** Since the mount came to its place: how many daemons have served; how many of them ended by themselves; and how many were replaced by `upgrade`. */
  incarnation: COUNT,
  restarts: COUNT,
  upgrades: COUNT,
  /** How many processes of the shield were killed. The one that answers is the successor of the last. */
  deaths: COUNT,
  requests: v.object({
    inFlight: COUNT,
    resent: COUNT,
    takenAsDone: COUNT,
    stale: COUNT,
    suspectsFailed: COUNT,
    undecided: COUNT,
  }),
  nodes: COUNT,
  openFiles: COUNT,
  options: v.object({
    readOnly: v.boolean(),
    stableInodes: v.boolean(),
    /** Whom daemons run as, as it was given; null: as the shield does. */
    user: v.nullable(v.string()),
    /** The socket of the holder that keeps the session too; null: none. */
    holder: v.nullable(v.string()),
    giveUp: COUNT,
  }),
})

/** The state of a shield. */
export type ShieldStatus = v.InferOutput<typeof STATUS_ANSWER>

/** The answer to `stop`. */
const STOP_ANSWER = v.object({
  ok: v.literal(true),
  pid: COUNT,
  /** What is left and why, one sentence each. */
  left: v.array(v.string()),
  /** Files that were open in the mount when it was taken away. */
  openFiles: COUNT,
})

/** How a stop came out. */
export type StopReport = v.InferOutput<typeof STOP_ANSWER>

/** The answer to `upgrade`. */
const UPGRADE_ANSWER = v.object({
  ok: v.literal(true),
  pid: COUNT,
  incarnation: COUNT,
  /** Requests that were held, and the longest time in milliseconds. */
  held: COUNT,
  longestHold: COUNT,
  /** Requests that were given to the old daemon and to the new one. */
  resent: COUNT,
  /** Open files whose changes the old daemon was told to store. */
  flushed: COUNT,
})

/** How an upgrade came out. */
export type UpgradeReport = v.InferOutput<typeof UPGRADE_ANSWER>

/** The answers by what was asked for. */
export const ANSWERS = { status: STATUS_ANSWER, stop: STOP_ANSWER, upgrade: UPGRADE_ANSWER } as const

/** What a shield writes down of itself, for whoever finds it. */
export const RECORD = v.object({
  version: v.literal(1),
  mountpoint: v.string(),
  mountNamespace: v.string(),
  pid: COUNT,
  keeper: KEEPER,
})

/** {@link RECORD}. */
export type ShieldRecord = v.InferOutput<typeof RECORD>
