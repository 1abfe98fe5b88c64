import { connectionsOf } from '../os/mounts/fuse-connections.ts'
import { deviceOf } from '../os/mounts/mount-table.ts'
import { killAfter } from '../os/processes/kill-after.ts'
import {
  processEnds,
  processesNamed,
  type ProcessStat,
  runsOurExecutable,
  sharesMounts,
  signalProcess,
} from '../os/processes/processes.ts'
import type { Daemon } from './host.ts'

/** A running dummy-fuse, and what identifies its session. */
export interface FoundDaemon {
  readonly stat: ProcessStat
  /** Its last argument: where it was started for. */
  readonly path: string
  /** Super blocks of the FUSE connections that it has a device of; undefined where the kernel does not tell. */
  readonly devices: readonly string[] | undefined
}

/**
 * Every dummy-fuse of ours: it runs our executable as our user, in our mount namespace. A container's, whose paths are as ours but not the
 * same, is none of ours.
 */
export function findDaemons(): readonly FoundDaemon[] {
  const ours = processesNamed('dummy-fuse').filter(({ stat: { pid } }) => sharesMounts(pid) && runsOurExecutable(pid))
  return ours.map(({ stat, args }) => ({ stat, path: args.at(-1) ?? '', devices: devicesOf(stat.pid) }))
}

/**
 * The one of them that was started for a path and serves the super block that is mounted there. A bind of another volume's session has no daemon of
 * its own. Where the kernel does not tell what a process serves, and without a super block, the path alone counts.
 */
export function chooseDaemon(daemons: readonly FoundDaemon[], path: string, device: string | undefined): ProcessStat | undefined {
  const ofPath = daemons.filter((daemon) => daemon.path === path)
  const serving = ofPath.find(({ devices }) => device === undefined || devices === undefined || devices.includes(device))
  return serving?.stat
}

/** Whether a process serves a super block; true where the kernel does not tell. */
export function mayServe(pid: number, device: string): boolean {
  return devicesOf(pid)?.includes(device) ?? true
}

function devicesOf(pid: number): readonly string[] | undefined {
  return connectionsOf(pid)?.map(deviceOf)
}

/** The dummy-fused that has the device of a connection, if it can be seen in /proc. */
export function findServing(device: string): ProcessStat | undefined {
  const daemons = processesNamed('dummy-fused').filter(({ stat: { pid } }) => runsOurExecutable(pid))
  return daemons.find(({ stat: { pid } }) => devicesOf(pid)?.includes(device) === true)?.stat
}

/** Undefined for a process that is ending: its session is about to die with its descriptors. */
export function toDaemon(stat: ProcessStat | undefined): Daemon | undefined {
  return stat === undefined || stat.exiting ? undefined : { pid: stat.pid, stopped: isStopped(stat) }
}

/** Whether a process is stopped by a signal (SIGSTOP), or traced. */
export function isStopped({ state }: ProcessStat): boolean {
  return state === 'T' || state === 't'
}

/**
 * Waits `grace` milliseconds for a daemon to end by itself, as it does once it is unmounted everywhere; then kills it. Resolves to whether it has
 * ended within `time` milliseconds in all. A stopped daemon cannot end by itself and gets no grace.
 */
export async function endDaemon(stat: ProcessStat, grace: number, time: number): Promise<boolean> {
  const daemon = {
    endsWithin: (limit: number): Promise<boolean> => processEnds(stat, limit),
    kill: (): void => {
      signalProcess(stat, 'SIGKILL')
    },
  }
  return await killAfter(daemon, isStopped(stat) ? 0 : grace, time)
}
