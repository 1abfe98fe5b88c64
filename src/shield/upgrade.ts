import { settledWithin } from '../os/processes/settled-within.ts'
import type { Candidate } from './candidate.ts'
import type { UpgradeReport } from './control-protocol.ts'
import type { DaemonCommand } from './daemon-process.ts'
import type { HoldReport } from './hold.ts'
import { Refused } from './refused.ts'
import type { Relay } from './relay.ts'

/** What is to take over, and how. */
export interface UpgradeOrder {
  readonly command: DaemonCommand
  /** It may say something else than the daemon that serves. */
  readonly differs: boolean
  /** The old daemon ends before the new one is started, because both cannot run at a time. */
  readonly stopFirst: boolean
  /** Milliseconds for the new daemon's answer to INIT, and for the old one's last answers. */
  readonly wait: number
  readonly drain: number
}

/** The shield, as an upgrade needs it. */
export interface UpgradeSite {
  readonly relay: Relay
  /** Whether the old daemon serves. */
  readonly serving: boolean
  /** The shield comes to its end. */
  readonly stopping: boolean
  /** Has promises that are settled while messages are served be looked at. */
  due(): void
  /** Starts a daemon beside the one that serves. */
  start(command: DaemonCommand): Candidate
  /** If the old daemon ends, it is not started again. */
  detain(): void
  /** Waits up to `time` milliseconds for the old daemon's end. */
  endsWithin(time: number): Promise<boolean>
  /** Ends the old daemon, whether it serves or not. Resolves to whether it has ended. */
  retire(): Promise<boolean>
  /** The new daemon serves. */
  adopt(candidate: Candidate, order: UpgradeOrder): HoldReport
  /** The old daemon goes on, or is started again if it has ended. */
  goOn(): void
  /** Ends a candidate that does not take over. */
  discard(candidate: Candidate): Promise<void>
}

/**
 * Replaces the daemon by another one. Until the old daemon has answered everything and its open files are flushed, each failure leaves it as it is. The new daemon gets its first
 * request when the old one has ended. Rejects with Refused.
 */
export async function upgrade(site: UpgradeSite, order: UpgradeOrder): Promise<UpgradeReport> {
  const { stopFirst } = order
  const { resent } = site.relay.counts
  let candidate = stopFirst ? undefined : await started(site, order)
  try {
    site.detain()
    const flushed = await emptied(site, order.drain)
    // The old one goes on.
    if (candidate?.end !== undefined) throw new Refused(`the new daemon ${candidate.end} before it served`)
    if (!(await site.retire()))
      throw new Refused('the old daemon is still in the kernel after SIGKILL; it is started again when it has ended')
    candidate ??= await started(site, order)
    if (site.stopping) throw new Refused('the shield ends')
    if (candidate.end !== undefined) throw new Refused(`the new daemon ${candidate.end} before it served`)
    const { held, longest } = site.adopt(candidate, order)
    if (order.differs) await forgotten(site, order.drain)
    const { daemons: incarnation, resent: now } = site.relay.counts
    return { ok: true, pid: candidate.process.pid, incarnation, held, longestHold: longest, resent: now - resent, flushed }
  } catch (error) {
    // Who waits goes on first.
    site.goOn()
    if (candidate !== undefined) await site.discard(candidate)
    throw error
  }
}

async function started(site: UpgradeSite, { command, wait }: UpgradeOrder): Promise<Candidate> {
  const candidate = site.start(command)
  try {
    if ((await settledWithin(candidate.ready, wait)) === 'late') throw new Refused(`has not answered INIT within ${wait / 1000} s`)
    return candidate
  } catch (error) {
    await site.discard(candidate)
    throw new Refused(`the new daemon ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** Has the kernel forget what it has cached. A page that somebody reads at that moment is waited for up to `time` milliseconds. */
async function forgotten(site: UpgradeSite, time: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  site.relay.forgetCaches(() => resolve(undefined))
  await settledWithin(promise, time)
}

/** Holds new requests, waits for the answers of the old daemon and has it store what was written to open files. Returns how many those were. */
async function emptied(site: UpgradeSite, drain: number): Promise<number> {
  const { relay } = site
  const drained = Promise.withResolvers<undefined>()
  relay.hold(() => {
    site.due()
    drained.resolve(undefined)
  })
  if ((await settledWithin(drained.promise, drain)) === 'late') {
    const owed = relay.owed()
    const processes = [...new Set(owed)].join(', ')
    throw new Refused(
      `the old daemon has not answered within ${drain / 1000} s; requests without an answer: ${owed.length}, of the processes ${processes}`,
    )
  }
  if (!site.serving) return 0
  const flushed = Promise.withResolvers<readonly [count: number, errno: number | undefined]>()
  relay.flush((count, errno) => {
    site.due()
    flushed.resolve([count, errno])
  })
  const outcome = await Promise.race([flushed.promise, site.endsWithin(drain)])
  // It has ended by itself.
  if (outcome === true) return 0
  if (outcome === false) throw new Refused(`the old daemon has not stored what was written within ${drain / 1000} s`)
  const [count, errno] = outcome
  if (errno !== undefined) throw new Refused(`the old daemon cannot store what was written to an open file: errno ${errno}`)
  return count
}
