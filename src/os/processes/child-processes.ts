import { readdirSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { codeOf } from '../../errors.ts'
import type { Libc } from '../libc.ts'
import type { ProcessEnd } from './child-program.ts'
import { processIds } from './processes.ts'

const PR_SET_CHILD_SUBREAPER = 36
const P_ALL = 0
const WNOHANG = 1
const WEXITED = 4
const WNOWAIT = 0x1000000
const CLD_EXITED = 1
const SYS_PIDFD_OPEN = 434
const SYS_PIDFD_GETFD = 438

const WAITID = 'int waitid(int, int, void *, int)'

/** Offsets in siginfo_t on 64-bit Linux (bits/types/siginfo_t.h). */
const SIGINFO = { size: 128, code: 8, pid: 16, status: 24 } as const

/** prctl(PR_SET_CHILD_SUBREAPER): orphaned descendants become children of this process, and not of init. Throws SystemError. */
export function becomeSubreaper(libc: Libc): void {
  const definition = 'int prctl(int, ulong, ulong, ulong, ulong)'
  libc.checked('prctl', undefined, definition, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

/** Whether this process has a child, running or zombie. Without a child it has no descendants. */
export function hasChildren(libc: Libc): boolean {
  return Number(libc.foreign(WAITID)(P_ALL, 0, Buffer.alloc(SIGINFO.size), WEXITED | WNOHANG | WNOWAIT)) === 0
}

/** A child that has ended and waits to be reaped, which it goes on doing; undefined if there is none. */
export function endedChild(libc: Libc): { readonly pid: number; readonly end: ProcessEnd } | undefined {
  const info = Buffer.alloc(SIGINFO.size)
  // ECHILD, the only error that there can be, leaves the pid 0 as WNOHANG does.
  libc.foreign(WAITID)(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT)
  const pid = info.readInt32LE(SIGINFO.pid)
  if (pid === 0) return undefined
  const value = info.readInt32LE(SIGINFO.status)
  const exited = info.readInt32LE(SIGINFO.code) === CLD_EXITED
  return { pid, end: exited ? { status: value, signal: null } : { status: null, signal: signalName(value) } }
}

/** waitpid(2) for a child that has ended. */
export function reap(libc: Libc, pid: number): void {
  libc.foreign('int waitpid(int, void *, int)')(pid, null, WNOHANG)
}

/** pidfd_open(2), closed on exec: readable once the process has ended. Throws SystemError (ESRCH). */
export function pidfdOpen(libc: Libc, pid: number): number {
  return libc.checked('pidfd_open', undefined, 'long syscall(long, long, long)', SYS_PIDFD_OPEN, pid, 0)
}

/** pidfd_getfd(2): a copy of a descriptor of another process, closed on exec. Throws SystemError. */
export function pidfdGet(libc: Libc, pidfd: number, fd: number): number {
  return libc.checked('pidfd_getfd', undefined, 'long syscall(long, long, long, long)', SYS_PIDFD_GETFD, pidfd, fd, 0)
}

/** The process that started this one, or took it over; undefined when it is gone. A zombie still has one. */
export function parentOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined
  }
}

/** Whether a process is below `ancestor` in the tree of processes. */
export function descendsFrom(pid: number, ancestor: number): boolean {
  // A chain that is changed while it is read has no end that is sure.
  for (let at: number | undefined = pid, hops = 0; at !== undefined && at > 0 && hops < 1000; hops++) {
    at = parentOf(at)
    if (at === ancestor) return true
  }
  return false
}

/** All descendants of a process, zombies too; parents come before their children. */
export function descendantsOf(pid: number): number[] {
  const found = childrenOf(pid)
  // The list grows during the loop.
  for (const one of found) found.push(...childrenOf(one))
  return found
}

/** Processes that one has started, or taken over, and not yet reaped (proc_pid_task(5), `children`). */
export function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' ').filter(Boolean).map(Number),
    )
  } catch (error) {
    // Gone in between, or a kernel without CONFIG_PROC_CHILDREN.
    return codeOf(error) === 'ENOENT' && pid === process.pid ? childrenByScan(pid) : []
  }
}

function childrenByScan(pid: number): number[] {
  return processIds().filter((one) => parentOf(one) === pid)
}

function signalName(number: number): NodeJS.Signals | null {
  const found = Object.entries(constants.signals).find(([, value]) => value === number)
  return found === undefined ? null : (found[0] as NodeJS.Signals)
}
