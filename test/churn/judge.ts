import type { SeenMount, SeenProcess, Snapshot } from './snapshot.ts'

/** A volume of a churn, and its two paths. */
export interface VolumePlaces {
  readonly id: string
  readonly staging: string
  readonly target: string
}

/**
 * The time in which something was said: what the machine was like before and after, and what happened in between. A statement is a lie only if it is
 * true at no moment of it.
 */
export interface Window {
  readonly before: Snapshot
  readonly after: Snapshot
  /** Whether a call or a signal has changed the volume in this time, or may have. */
  readonly touched: (volumeId: string) => boolean
  /** Whether the last call that changes the volume has not succeeded: what it began may be left. */
  readonly unsettled: (volumeId: string) => boolean
  /** A process serves one volume, whose path is its last argument; or one process serves all of them. */
  readonly daemons: 'per-volume' | 'shared'
}

/** A volume as it was for the whole of a window. */
interface Facts {
  readonly staging: SeenMount | undefined
  readonly target: SeenMount | undefined
  /** The processes that have a device of the session at the staging path. Without one the session is dead. */
  readonly holders: readonly SeenProcess[]
  /** The processes that have a device of the session at the target. */
  readonly targetHolders: readonly SeenProcess[]
  /** The processes that `ps` shows as the daemon of the staging path. */
  readonly named: readonly SeenProcess[]
  readonly staged: boolean
  readonly published: boolean
}

/** Our file system's type in the mount table. */
const FS_TYPE = 'fuse.dummy-fuse'

/** The answer of NodeGetVolumeHealth: its reasons, or the code that it ended with. */
export type Health = { readonly reasons: readonly string[] } | { readonly code: string }

/** A volume in the output of `status --json`. */
export interface StatusVolume {
  readonly volumeId: string
  readonly stagingPath: string
  readonly state: string
  readonly daemon: { readonly pid: number } | null
  readonly targets: readonly { readonly path: string; readonly state: string }[]
  readonly findings: readonly { readonly reason: string }[]
}

/** What is wrong with a statement, one line each; undefined if it cannot be judged, because its volume has changed meanwhile. */
export type Verdict = readonly string[] | undefined

/** Judges NodeGetVolumeHealth. Other codes than OK and NOT_FOUND state nothing. */
export function judgeHealth(places: VolumePlaces, health: Health, window: Window): Verdict {
  const facts = factsOf(places, window)
  if (facts === undefined) return undefined
  if ('code' in health) {
    if (health.code !== 'NOT_FOUND') return undefined
    return facts.staged || facts.published ? [`health does not know ${places.id}, which is in the books: ${describe(facts)}`] : []
  }
  return contradictions(facts, new Set(health.reasons)).map((what) => `health of ${places.id} ${what}: ${describe(facts)}`)
}

/** Judges NodeGetVolumeStats of the target by the code that it ended with. Other codes than OK and NOT_FOUND state nothing. */
export function judgeStats(places: VolumePlaces, code: string, window: Window): Verdict {
  const facts = factsOf(places, window)
  if (facts === undefined || (code !== 'OK' && code !== 'NOT_FOUND')) return undefined
  const { target, targetHolders, published } = facts
  const what = `stats of ${places.id}`
  if (code === 'OK') {
    if (target === undefined) return [`${what} has figures, and nothing is mounted at its target`]
    return targetHolders.length === 0 ? [`${what} has figures, and the session at its target is dead`] : []
  }
  return published && target?.fsType === FS_TYPE ? [`${what} does not know the target that is mounted: ${describe(facts)}`] : []
}

/** Judges what `status --json` says of one volume of a churn, `said`, or that it says nothing of it. */
export function judgeStatus(places: VolumePlaces, said: StatusVolume | undefined, window: Window): Verdict {
  const facts = factsOf(places, window)
  if (facts === undefined) return undefined
  const lies = said === undefined ? silence(facts) : statusLies(places, facts, said, window)
  return lies.map((what) => `status of ${places.id} ${what}: ${describe(facts)}`)
}

/** Judges `ps`: the daemons that it shows of one volume. */
export function judgeProcesses(places: VolumePlaces, window: Window): Verdict {
  const facts = factsOf(places, window)
  if (facts === undefined || window.unsettled(places.id)) return undefined
  return facts.named.flatMap((named) => {
    const { pid } = named
    // One that is about to end is shown until its parent has been told.
    if (named.exiting || named.stopped || window.daemons === 'shared') return []
    if (facts.staging === undefined) return [`ps shows dummy-fuse[${pid}] of ${places.staging}, where nothing is mounted`]
    if (named.devices.includes(facts.staging.device)) return []
    return [`ps shows dummy-fuse[${pid}] of ${places.staging}, which does not serve what is mounted there: ${describe(facts)}`]
  })
}

/** Judges the mount cache beside the mount table: what is mounted at a path of a volume is in the books. */
export function judgeBooks(places: VolumePlaces, window: Window): Verdict {
  const facts = factsOf(places, window)
  if (facts === undefined || window.unsettled(places.id)) return undefined
  const { staging, target, staged, published } = facts
  const lies: string[] = []
  if (staging !== undefined && !staged) lies.push(`nothing says that ${places.id} is staged, and it is mounted: ${describe(facts)}`)
  if (target !== undefined && !published)
    lies.push(`nothing says that ${places.id} is published, and it is bound: ${describe(facts)}`)
  return lies
}

/** Judges `ps` of those that serve nothing: a spare that has a device of a mounted session. */
export function judgeSpares({ before, after }: Window): readonly string[] {
  const mounted = new Set([...after.mounts.values()].map(({ device }) => device))
  return before.processes.flatMap((one) => {
    const now = same(one, after)
    const serving = one.devices.filter((device) => mounted.has(device) && now?.devices.includes(device) === true)
    const said = one.comm === 'dummy-spare' && now?.comm === 'dummy-spare'
    return said && serving.length > 0 ? [`ps shows dummy-spare[${one.pid}], which serves ${serving.join(', ')}`] : []
  })
}

/**
 * Judges that a log says a process has ended, at a time between the two snapshots. `id` and its start are those of the first snapshot, where it was there.
 */
export function judgeEnd(pid: number, { before, after }: Window): Verdict {
  const then = before.processes.find((one) => one.pid === pid && one.comm === 'dummy-fuse')
  if (then === undefined) return undefined
  const now = same(then, after)
  return now === undefined || now.exiting ? [] : [`the log says that dummy-fuse[${pid}] has ended, and it runs`]
}

/** Judges dummy-fused's STATUS by the records of its sessions: `count` of them at some moment of the window. `places`: all volumes. */
export function judgeSessions(count: number, places: readonly VolumePlaces[], window: Window): Verdict {
  const [first, last] = [window.before.sessions, window.after.sessions]
  if (first === undefined || last === undefined) return undefined
  const changing = places.filter(({ id }) => window.touched(id)).length
  // A call has one session more or less to show for it, at most.
  const least = Math.max(first.filter((id) => last.includes(id)).length - changing, 0)
  const most = new Set([...first, ...last]).size + changing
  if (count >= least && count <= most) return []
  return [`STATUS says ${count} sessions, and there were ${first.length}, then ${last.length} (${changing} volumes were changing)`]
}

/** Judges the plugin's STATUS by what its log has said: `said` volumes are to be restored; `known`: so many were, at the moments of the window. */
export function judgeRestoring(said: number, known: readonly { readonly least: number; readonly most: number }[]): Verdict {
  if (known.length === 0) return undefined
  if (known.some(({ least, most }) => said >= least && said <= most)) return []
  const range = known.map(({ least, most }) => (least === most ? least : `${least} to ${most}`)).join(', then ')
  return [`STATUS says that ${said} volumes are being re-mounted, and the log says ${range}`]
}

/** Judges ListVolumes: what was there for the whole window, and what was not, by the answers of CreateVolume and DeleteVolume. */
export function judgeList(listed: readonly string[], there: readonly string[], gone: readonly string[]): readonly string[] {
  return [
    ...there.filter((id) => !listed.includes(id)).map((id) => `ListVolumes leaves out ${id}, which was created`),
    ...gone.filter((id) => listed.includes(id)).map((id) => `ListVolumes has ${id}, which was deleted`),
  ]
}

/** Judges that the plugin's log calls a session dead: `hit` tells whether any process of it got a signal since it was mounted. */
export function judgeDead(path: string, hit: boolean): readonly string[] {
  return hit ? [] : [`the log says that the mount at ${path} was dead, and nobody has killed its daemon`]
}

/** What each reason of a volume's health must mean, and what must have a reason. */
function contradictions(facts: Facts, reasons: ReadonlySet<string>): readonly string[] {
  const { staging, target, holders, published } = facts
  const lies: string[] = []
  const alive = holders.some(({ exiting }) => !exiting)
  const says = (reason: string, truth: boolean): void => {
    if (reasons.has(reason) && !truth) lies.push(`says ${reason}, which is not so`)
  }
  says('DaemonDead', staging !== undefined && !alive)
  says('StagingNotMounted', staging === undefined)
  says('TargetNotMounted', published && target === undefined)
  says('StaleBind', target !== undefined && target.device !== staging?.device)
  says('StagingWrongFileSystem', staging !== undefined && staging.fsType !== FS_TYPE)
  says('TargetWrongFileSystem', target !== undefined && target.fsType !== FS_TYPE)
  if (reasons.size > 0) return lies
  if (staging === undefined) lies.push('says that nothing is wrong, and nothing is mounted at its staging path')
  else if (holders.length === 0) lies.push('says that nothing is wrong, and its session is dead')
  else if (holders.every(({ stopped }) => stopped)) lies.push('says that nothing is wrong, and its daemon is stopped')
  if (published && target === undefined) lies.push('says that nothing is wrong, and its target is not mounted')
  if (published && target !== undefined && target.device !== staging?.device)
    lies.push('says that nothing is wrong, and its target is bound to another session')
  return lies
}

function silence({ staged, published }: Facts): readonly string[] {
  return staged || published ? ['is missing, though it is in the books'] : []
}

function statusLies(places: VolumePlaces, facts: Facts, said: StatusVolume, window: Window): readonly string[] {
  const { staging, target, holders, named, staged, published } = facts
  if (!staged && !published) return ['is there, though it is in no book']
  const lies = [...contradictions(facts, new Set(said.findings.map(({ reason }) => reason)))]
  if (said.state === 'MOUNTED' && (staging === undefined || holders.length === 0)) lies.push('says MOUNTED')
  if (said.state === 'DEAD' && (staging === undefined || holders.some(({ exiting }) => !exiting))) lies.push('says DEAD')
  if (said.state === 'NOT_MOUNTED' && staging !== undefined) lies.push('says NOT_MOUNTED')
  const pid = said.daemon?.pid
  if (pid !== undefined && !holders.some((one) => one.pid === pid))
    lies.push(`names process ${pid} as the daemon, which serves nothing there`)
  const serving = named.find(({ exiting, devices }) => !exiting && staging !== undefined && devices.includes(staging.device))
  if (pid === undefined && window.daemons === 'per-volume' && serving !== undefined)
    lies.push(`names no daemon, and dummy-fuse[${serving.pid}] serves it`)
  const shown = said.targets.find(({ path }) => path === places.target)?.state
  if (published && shown === undefined) lies.push('leaves its target out')
  if (!published && shown !== undefined) lies.push('has a target that is in no book')
  if (shown === 'NOT_MOUNTED' && target !== undefined) lies.push('says that its target is not mounted')
  if ((shown === 'MOUNTED' || shown === 'STALE') && target === undefined)
    lies.push(`says ${shown} of its target, which is not mounted`)
  return lies
}

/** A volume as it was for the whole of a window; undefined if it was not the same all the time. */
function factsOf(places: VolumePlaces, window: Window): Facts | undefined {
  if (window.touched(places.id)) return undefined
  const [first, last] = [factsIn(places, window.before), factsIn(places, window.after)]
  return JSON.stringify(first) === JSON.stringify(last) ? last : undefined
}

function factsIn({ staging, target, id }: VolumePlaces, { mounts, processes, staged, published }: Snapshot): Facts {
  const [below, above] = [mounts.get(staging), mounts.get(target)]
  const holding = (mount: SeenMount | undefined): readonly SeenProcess[] =>
    mount === undefined ? [] : processes.filter(({ devices }) => devices.includes(mount.device))
  return {
    staging: below,
    target: above,
    holders: holding(below).map(withoutOthers(below)),
    targetHolders: holding(above).map(withoutOthers(above)),
    named: processes.filter(({ comm, args }) => comm === 'dummy-fuse' && args.at(-1) === staging),
    staged: staged.get(staging) === id,
    published: published.get(target) === id,
  }
}

/** What a process has of other volumes does not concern this one. */
function withoutOthers(mount: SeenMount | undefined): (one: SeenProcess) => SeenProcess {
  return (one) => ({ ...one, devices: one.devices.filter((device) => device === mount?.device) })
}

function same({ pid, start }: SeenProcess, { processes }: Snapshot): SeenProcess | undefined {
  return processes.find((one) => one.pid === pid && one.start === start)
}

function describe({ staging, target, holders, staged, published }: Facts): string {
  const at = (mount: SeenMount | undefined): string => (mount === undefined ? 'nothing' : `${mount.fsType} ${mount.device}`)
  const who = holders.map(
    ({ comm, pid, stopped, exiting }) => `${comm}[${pid}]${stopped ? ' stopped' : ''}${exiting ? ' ending' : ''}`,
  )
  const books = [...(staged ? ['staged'] : []), ...(published ? ['published'] : [])]
  return `${at(staging)} at its staging path, ${at(target)} at its target, held by ${who.join(', ') || 'nobody'}, in the books ${books.join(' and ') || 'nowhere'}`
}
