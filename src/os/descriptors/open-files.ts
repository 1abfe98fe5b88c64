import { readlinkSync } from 'node:fs'
import type { Libc } from '../libc.ts'
import { openFlags } from './fdinfo.ts'

type Foreign = Pick<Libc, 'foreign'>

const SYS_KCMP = 312
const KCMP_FILE = 0
const POLLERR = 0x8
const POLLHUP = 0x10
const POLLNVAL = 0x20

/**
 * Whether two descriptors of this process are copies of one open file: by kcmp(2), or where that is forbidden (seccomp) or missing, by the inode of
 * sockets and pipes. All others count as different then, because descriptors of /dev/fuse share an inode and are a connection each.
 */
export function sameOpenFile(libc: Foreign, one: number, other: number): boolean {
  const kcmp = libc.foreign('long syscall(long, int, int, int, ulong, ulong)')
  const result = Number(kcmp(SYS_KCMP, process.pid, process.pid, KCMP_FILE, one, other))
  if (result >= 0) return result === 0
  const name = nameOf(one)
  return /^(socket|pipe):/.test(name) && name === nameOf(other) && accessOf(one) === accessOf(other)
}

/**
 * Whether poll(2) may be called for it. Not for a file of a file system: for a FUSE file, poll(2) asks the daemon, which may be the one that has
 * ended.
 */
export function canBePolled(fd: number): boolean {
  return /^(socket:|pipe:|anon_inode:|\/dev\/)/.test(nameOf(fd))
}

/** Those of the descriptors that show an error or a hang-up. Throws SystemError. */
export function hungUp(libc: Pick<Libc, 'pollErrors'>, descriptors: readonly number[]): readonly number[] {
  const errors = libc.pollErrors(descriptors)
  return descriptors.filter((_, index) => ((errors[index] ?? 0) & (POLLERR | POLLHUP | POLLNVAL)) !== 0)
}

/** What /proc says that a descriptor is, without asking its file system. */
function nameOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}

/** O_RDONLY, O_WRONLY or O_RDWR: the two ends of a pipe have one inode. */
function accessOf(fd: number): number {
  return openFlags(fd) & 3
}
