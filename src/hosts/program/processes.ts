import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectionsOf } from '../../os/mounts/fuse-connections.ts'
import { deviceOf } from '../../os/mounts/mount-table.ts'
import { processIds, processStat, type ProcessStat, sendSignal } from '../../os/processes/processes.ts'
import { type ProgramRecord, runningOf } from './records.ts'

/**
 * The environment variable that all processes of one start inherit. It finds a daemon that has left its process group and its parent. Its value is random, so
 * that no other process has it.
 */
export const START_VARIABLE = 'DUMMY_FUSE_CSI_START'

/** All processes of a start that run: those with its variable in their environment, and those that are recorded. */
export function processesOf(record: ProgramRecord): readonly ProcessStat[] {
  const wanted = `${START_VARIABLE}=${record.id}`
  const found = new Map(runningOf(record).map((stat) => [stat.pid, stat]))
  for (const pid of processIds()) {
    if (found.has(pid) || !environmentOf(pid).includes(wanted)) continue
    const stat = processStat(pid)
    if (stat !== undefined && stat.pid !== process.pid) found.set(stat.pid, stat)
  }
  return [...found.values()]
}

/** Those of the processes that have the device of a FUSE session open (`major:minor`). */
export function holdersOf(processes: readonly ProcessStat[], device: string): readonly ProcessStat[] {
  return processes.filter(({ pid }) => devicesOf(pid).includes(device))
}

/** The super blocks (`major:minor`) of the FUSE sessions that a process has a device of. */
export function devicesOf(pid: number): readonly string[] {
  return (connectionsOf(pid) ?? []).map(deviceOf)
}

/** Kills all processes of a start, also those that they start meanwhile, within `time` milliseconds. Resolves to those that are still in the kernel. */
export async function killAll(record: ProgramRecord, time: number): Promise<readonly ProcessStat[]> {
  const end = performance.now() + time
  let left = processesOf(record)
  for (let pause = 10; left.length > 0 && performance.now() < end; pause = Math.min(pause * 2, 100)) {
    for (const { pid } of left) sendSignal(pid, 'SIGKILL')
    await sleep(pause)
    // One that ends has no environment any more, but may not have closed its descriptors yet.
    const ending = left.filter(({ pid, start }) => processStat(pid)?.start === start)
    const others = processesOf(record).filter(({ pid }) => !ending.some((one) => one.pid === pid))
    left = [...ending, ...others]
  }
  return left
}

/** The variables of a process's environment, as it was executed with them; none for one that has ended. */
function environmentOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
  } catch {
    return []
  }
}
