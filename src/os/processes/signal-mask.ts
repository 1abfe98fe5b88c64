import { constants } from 'node:os'
import { SystemError } from '../../errors.ts'
import type { Libc } from '../libc.ts'

/** include/uapi/asm-generic/signal-defs.h. */
const SIG_UNBLOCK = 1

/** Bytes of glibc's sigset_t. */
const SIGSET_SIZE = 128

/**
 * pthread_sigmask(3), SIG_UNBLOCK: the calling thread takes a signal again that Node's start has blocked, as --disable-sigusr1 blocks SIGUSR1. A
 * signal that has been sent meanwhile arrives at once: its handler must be there. Throws SystemError.
 */
export function unblockSignal(libc: Libc, signal: NodeJS.Signals): void {
  const number = constants.signals[signal] - 1
  const set = Buffer.alloc(SIGSET_SIZE)
  set[number >> 3] = 1 << (number & 7)
  const errno = Number(libc.foreign('int pthread_sigmask(int, void *, void *)')(SIG_UNBLOCK, set, null))
  if (errno === 0) return
  const [name = `errno ${errno}`] = Object.entries(constants.errno).find(([, value]) => value === errno) ?? []
  throw new SystemError('pthread_sigmask', name, errno)
}
