import { closeSync, readlinkSync } from 'node:fs'
import { constants } from 'node:os'
import { SystemError } from '../../errors.ts'
import type { Libc } from '../libc.ts'
import { SHARED_LIMITS } from '../limits.ts'

/** pthread_attr_t on 64-bit Linux (bits/pthreadtypes-arch.h), and a stack that close(2) has room in. */
const ATTRIBUTES_SIZE = 64
const STACK_SIZE = 64 * 1024
const PTHREAD_CREATE_DETACHED = 1

/**
 * Closes a descriptor of any kind without waiting for a file system: close(2) of a file on a hung FUSE mount waits for its server (fs/fuse/file.c,
 * fuse_flush), and no signal ends the wait. A descriptor whose close(2) cannot wait is closed before this returns. Any other is closed in a thread of
 * its own, because a few hung files would block all four threads of libuv.
 */
export function closeInThread(libc: Libc, fd: number): void {
  if (closesAtOnce(fd)) {
    closeSync(fd)
    return
  }
  try {
    startThread(libc, 'close', fd)
  } catch {
    setTimeout(() => closeInThread(libc, fd), SHARED_LIMITS.closePause).unref()
  }
}

/** Sockets, pipes, anonymous inodes, and FUSE devices (fs/fuse/dev.c, fuse_dev_release). */
function closesAtOnce(fd: number): boolean {
  return /^(socket:|pipe:|anon_inode:|\/dev\/fuse$)/.test(readlinkSync(`/proc/self/fd/${fd}`))
}

/** Calls a glibc function with one integer argument in a detached thread. Throws SystemError. */
function startThread(libc: Libc, name: string, argument: number): void {
  const address = libc.foreign('uintptr_t dlsym(void *, str)')(null, name)
  const attributes = Buffer.alloc(ATTRIBUTES_SIZE)
  check('pthread_attr_init', libc.foreign('int pthread_attr_init(void *)')(attributes))
  check('pthread_attr_setstacksize', libc.foreign('int pthread_attr_setstacksize(void *, ulong)')(attributes, STACK_SIZE))
  const setDetached = libc.foreign('int pthread_attr_setdetachstate(void *, int)')
  check('pthread_attr_setdetachstate', setDetached(attributes, PTHREAD_CREATE_DETACHED))
  const create = libc.foreign('int pthread_create(void *, void *, uintptr_t, uintptr_t)')
  check('pthread_create', create(Buffer.alloc(8), attributes, address, argument))
}

/** pthread functions return the errno. */
function check(name: string, errno: number | bigint): void {
  if (Number(errno) === 0) return
  const found = Object.entries(constants.errno).find(([, number]) => number === Number(errno))
  throw new SystemError(name, found?.[0] ?? `errno ${errno}`, Number(errno))
}
