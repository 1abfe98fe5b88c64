import { readdirSync } from 'node:fs'
import { codeOf } from '../../errors.ts'
import { descendsFrom, parentOf } from '../../os/processes/child-processes.ts'
import { processesNamed, processIds, processStat, sendSignal, sharesMounts } from '../../os/processes/processes.ts'
import { until } from '../wait.ts'

/**
 * Whether a process is one of this node. A node with a process namespace of its own has every process that it sees, also one in another mount namespace, as a
 * driver makes it with unshare(1). On a node without one, the mounts tell its processes from those of the machine.
 */
export function isOnNode(pid: number): boolean {
  return hasOwnProcesses() || sharesMounts(pid)
}

/** The first process of a process namespace that was made for the node has the mounts of the node. */
function hasOwnProcesses(): boolean {
  return sharesMounts(1)
}

/** Ids of this node's processes of one name, as `ps -o comm` shows it. */
export function processesOf(comm: string): readonly number[] {
  return processesNamed(comm)
    .map(({ stat }) => stat.pid)
    .filter(isOnNode)
}

/**
 * Ids of all processes of a private node that has a process namespace of its own, without the lab's: this process, those that have started it, and those that it
 * has started itself. The plugin and the helpers have ended before, so that no process of a driver is among those. Throws an Error on a node without such a
 * namespace, where other processes of the machine would be among them.
 */
export function othersOnNode(): readonly number[] {
  if (!hasOwnProcesses())
    throw new Error('the node has no process namespace of its own, and its processes cannot be told from others')
  const own = ancestry(process.pid)
  return processIds().filter((pid) => !own.includes(pid) && processStat(pid) !== undefined && !descendsFrom(pid, process.pid))
}

/** A process and those above it. */
function ancestry(pid: number): readonly number[] {
  const found: number[] = []
  for (let at: number | undefined = pid; at !== undefined && at > 0; at = parentOf(at)) found.push(at)
  return found
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

/** Kills what `find` finds, and looks again, for a process may just have started another; resolves when it finds none. */
export async function killUntilNone(find: () => readonly number[]): Promise<void> {
  await until('the processes of the node are gone', async () => {
    const found = find()
    await killAll(found)
    return found.length === 0
  })
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
