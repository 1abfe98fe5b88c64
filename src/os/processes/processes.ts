import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process as /proc shows it. `start` is in clock ticks since boot and tells a reused id from the first. */
export interface ProcessStat {
  readonly pid: number
  readonly comm: string
  /** The id of its process group. */
  readonly group: number
  /** One letter of proc_pid_stat(5): `T` stopped, `D` waiting for I/O, `Z` its first thread has ended. */
  readonly state: string
  readonly start: string
  /** It runs no more code of its own, but may not have closed its descriptors yet. */
  readonly exiting: boolean
}

/** include/linux/sched.h */
const PF_EXITING = 0x4

/** The bit of SIGKILL in a set of signals. */
const SIGKILL_BIT = 1n << 8n

/** A process by its id; undefined if it has ended. A zombie has ended, unless some of its threads run, which hold its descriptors. */
export function processStat(pid: number): ProcessStat | undefined {
  const text = readOrUndefined(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  // The name may hold spaces and parentheses; the last one closes it.
  const open = text.indexOf('(')
  const close = text.lastIndexOf(')')
  const fields = text.slice(close + 2).split(' ')
  const [state = ''] = fields
  if ((state === 'Z' || state === 'X') && Number(fields[17]) <= 1) return undefined
  return {
    pid,
    comm: text.slice(open + 1, close),
    group: Number(fields[2]),
    state,
    start: fields[19] ?? '',
    exiting: (Number(fields[6]) & PF_EXITING) !== 0,
  }
}

/** Bytes of the name of a process that the kernel keeps (proc_pid_comm(5)). */
export const LONGEST_COMM = 15

/** The ids of all processes that /proc shows. Throws Node's error if it cannot be read. */
export function processIds(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

/** The processes that have one of these names (its first {@link LONGEST_COMM} bytes), with their arguments. */
export function processesNamed(...comms: readonly string[]): { stat: ProcessStat; args: readonly string[] }[] {
  const shown = comms.map((comm) => `${comm.slice(0, LONGEST_COMM)}\n`)
  return processIds().flatMap((pid) => {
    if (!shown.includes(readOrUndefined(`/proc/${pid}/comm`) ?? '')) return []
    const stat = processStat(pid)
    const args = readOrUndefined(`/proc/${pid}/cmdline`)
    return stat === undefined || args === undefined ? [] : [{ stat, args: args.split('\0').slice(0, -1) }]
  })
}

/** The number of this process's PID namespace (namespaces(7)): process ids of another one say nothing here. */
export function pidNamespace(): string {
  return readlinkSync('/proc/self/ns/pid').replace(/\D/g, '')
}

/** Whether an id is a process's. /proc/TID is there for each thread too, although it is not listed (proc(5)). */
export function isProcess(pid: number): boolean {
  return new RegExp(`^Tgid:\\s*${pid}$`, 'm').test(readOrUndefined(`/proc/${pid}/status`) ?? '')
}

/** The process that a thread belongs to (proc_pid_status(5), Tgid); undefined if it has ended. */
export function processOfThread(thread: number): number | undefined {
  const [, process] = /^Tgid:\s*(\d+)$/m.exec(readOrUndefined(`/proc/${thread}/status`) ?? '') ?? []
  return process === undefined ? undefined : Number(process)
}

/**
 * Whether a thread has been sent a signal that ends its process: the kernel marks SIGKILL as pending for each of its threads then (kernel/signal.c,
 * complete_signal). True for one that has ended.
 */
export function isBeingKilled(thread: number): boolean {
  const [, pending] = /^SigPnd:\s*([0-9a-f]+)$/m.exec(readOrUndefined(`/proc/${thread}/status`) ?? '') ?? []
  return pending === undefined || (BigInt(`0x${pending}`) & SIGKILL_BIT) !== 0n
}

/** Whether a thread of a process is running, or waits for a processor (proc_pid_stat(5), state R). */
export function isRunnable(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some((tid) => processStat(Number(tid))?.state === 'R')
  } catch {
    // It has ended.
    return false
  }
}

/** Whether a process is in this process's mount namespace (namespaces(7)); false if it has ended. */
export function sharesMounts(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`) === readlinkSync('/proc/self/ns/mnt')
  } catch {
    return false
  }
}

/**
 * Whether a process runs the same executable as this one, or a version that was replaced at the same path, as the same user. Its name and arguments
 * are not checked, because a process chooses them itself.
 */
export function runsOurExecutable(pid: number): boolean {
  try {
    return executableOf(String(pid)) === executableOf('self') && statSync(`/proc/${pid}`).uid === process.geteuid?.()
  } catch {
    // It has ended, or belongs to another user.
    return false
  }
}

/** The kernel adds a word to the path of a file that was removed (proc_pid_exe(5)). */
function executableOf(pid: string): string {
  return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '')
}

/** Sends a signal to a process if it is still the one that `stat` describes, and runs the same executable as this one. */
export function signalProcess(stat: ProcessStat, signal: NodeJS.Signals): void {
  if (processStat(stat.pid)?.start !== stat.start || !runsOurExecutable(stat.pid)) return
  sendSignal(stat.pid, signal)
}

/** kill(2); a process that has ended gets nothing. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It ended in between.
  }
}

/** Waits up to `time` milliseconds for the end of a process, which may be any process. Returns whether it has ended. */
export async function processEnds(stat: ProcessStat, time: number): Promise<boolean> {
  const end = performance.now() + time
  while (processStat(stat.pid)?.start === stat.start) {
    if (performance.now() >= end) return false
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
