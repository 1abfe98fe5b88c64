import type { Libc } from '../libc.ts'

const AT_EMPTY_PATH = 0x1000
const AT_STATX_DONT_SYNC = 0x4000

/** `major:minor` of what a descriptor shows, by struct statx (include/uapi/linux/stat.h), without asking the server. Throws SystemError. */
export function superBlockOf(libc: Libc, fd: number): string {
  const seen = Buffer.alloc(256)
  libc.checked('statx', undefined, 'int statx(int, str, int, uint, void *)', fd, '', AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, seen)
  return `${seen.readUInt32LE(136)}:${seen.readUInt32LE(140)}`
}
