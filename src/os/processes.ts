import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process as /proc shows it. `start` is in clock ticks since boot and tells a reused id from the first. */
export interface ProcessStat {
  readonly pid: number
  readonly comm: string
  /** One letter of proc_pid_stat(5): `T` stopped, `D` waiting for I/O, `Z` its first thread has ended. */
  readonly state: string
  readonly start: string
  /** It runs no more code of its own, but may not have closed its descriptors yet. */
  readonly exiting: boolean
}

/** include/linux/sched.h */
const PF_EXITING = 0x4

/** A process by its id; undefined when it is gone. A zombie is gone, unless threads of it are left: they hold its descriptors. */
export function processStat(pid: number): ProcessStat | undefined {
  const text = readOrUndefined(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  // The name may hold spaces and parentheses; the last one closes it.
  const open = text.indexOf('(')
  const close = text.lastIndexOf(')')
  const fields = text.slice(close + 2).split(' ')
  const [state = ''] = fields
  if ((state === 'Z' || state === 'X') && Number(fields[17]) <= 1) return undefined
  return { pid, comm: text.slice(open + 1, close), state, start: fields[19] ?? '', exiting: (Number(fields[6]) & PF_EXITING) !== 0 }
}

/** The processes of one name (its first 15 bytes) with their arguments. */
export function processesNamed(comm: string): { stat: ProcessStat; args: readonly string[] }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || readOrUndefined(`/proc/${name}/comm`) !== `${comm.slice(0, 15)}\n`) return []
    const stat = processStat(Number(name))
    const args = readOrUndefined(`/proc/${name}/cmdline`)
    return stat === undefined || args === undefined ? [] : [{ stat, args: args.split('\0').slice(0, -1) }]
  })
}

/** Whether a process is in our mount namespace (namespaces(7)); not, when it is gone. */
export function sharesMounts(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`) === readlinkSync('/proc/self/ns/mnt')
  } catch {
    return false
  }
}

/** Sends a signal to a process if it is still the one that `stat` described. */
export function signalProcess(stat: ProcessStat, signal: NodeJS.Signals): void {
  if (processStat(stat.pid)?.start !== stat.start) return
  try {
    process.kill(stat.pid, signal)
  } catch {
    // It ended in between.
  }
}

/** Waits up to `deadline` milliseconds for a process that need not be a child of ours to end; tells whether it did. */
export async function processEnds(stat: ProcessStat, deadline: number): Promise<boolean> {
  const end = Date.now() + deadline
  while (processStat(stat.pid)?.start === stat.start) {
    if (Date.now() >= end) return false
    await sleep(10)
  }
  return true
}

function readOrUndefined(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
