import { readdirSync } from 'node:fs'
import { codeOf } from '../../errors.ts'
import { processesNamed, processIds, processStat, sendSignal, sharesMounts } from '../../os/processes/processes.ts'
import { until } from '../wait.ts'

/** Ids of this node's processes of one name, as `ps -o comm` shows it, without those in containers. */
export function processesOf(comm: string): readonly number[] {
  return processesNamed(comm)
    .map(({ stat }) => stat.pid)
    .filter(sharesMounts)
}

/** Ids of all processes of a private node that has a process namespace of its own, without the lab's and those in containers. */
export function othersOnNode(): readonly number[] {
  const own = [1, process.pid, process.ppid]
  return processIds().filter((pid) => !own.includes(pid) && sharesMounts(pid))
}

/** Sends a signal to processes, some of which may just have ended. */
export function signalAll(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) sendSignal(pid, name)
}

/** Kills processes; resolves when they are gone. */
export async function killAll(pids: readonly number[]): Promise<void> {
  signalAll(pids, 'SIGKILL')
  await until(`processes ${pids.join(', ')} are gone`, () => pids.every((pid) => processStat(pid) === undefined))
}

/** Stops processes; resolves when they have stopped. */
export async function stopAll(pids: readonly number[]): Promise<void> {
  signalAll(pids, 'SIGSTOP')
  await until(`processes ${pids.join(', ')} have stopped`, () => pids.every(hasStopped))
}

/** Whether no thread of a process runs code of its own. */
function hasStopped(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).every((tid) => !['R', 'S'].includes(processStat(Number(tid))?.state ?? ''))
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return true
  }
}
