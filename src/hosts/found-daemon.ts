import { processEnds, processesNamed, type ProcessStat, sharesMounts, signalProcess } from '../os/processes.ts'
import type { Daemon } from './host.ts'

/**
 * The dummy-fuse whose last argument is this mount point: nothing has to be remembered that could go stale. A container's, whose paths
 * are as ours but not the same, is none of ours.
 */
export function findDaemon(path: string): ProcessStat | undefined {
  return processesNamed('dummy-fuse').find(({ stat, args }) => args.at(-1) === path && sharesMounts(stat.pid))?.stat
}

/** All that {@link findDaemon} would find, by their mount points. */
export function findDaemons(): ReadonlyMap<string, ProcessStat> {
  const found = processesNamed('dummy-fuse').filter(({ stat }) => sharesMounts(stat.pid))
  // The first of those of one path counts there, and the last one here.
  return new Map(found.toReversed().map(({ stat, args }) => [args.at(-1) ?? '', stat]))
}

/** Nothing, for a process that is ending: its session is about to die with its descriptors. */
export function toDaemon(stat: ProcessStat | undefined): Daemon | undefined {
  return stat === undefined || stat.exiting ? undefined : { pid: stat.pid, stopped: isStopped(stat) }
}

function isStopped({ state }: ProcessStat): boolean {
  return state === 'T' || state === 't'
}

/** Milliseconds that the kernel may take to bury what was sent SIGKILL. */
const BURIAL = 1000

/** Waits `grace` milliseconds for a daemon to end by itself, as it does once it is unmounted everywhere; then kills it. */
export async function endDaemon(stat: ProcessStat, grace: number): Promise<void> {
  if (!isStopped(stat) && (await processEnds(stat, grace))) return
  signalProcess(stat, 'SIGKILL')
  await processEnds(stat, BURIAL)
}
