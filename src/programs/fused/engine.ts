import { release } from 'node:os'
import { SessionEngine } from '../../fuse/session/engine.ts'
import type { Logger } from '../../log.ts'
import type { Libc } from '../../os/libc.ts'
import { dummyFileSystem } from '../file-systems.ts'
import { startServingThread } from '../start-thread.ts'
import { FUSED_LIMITS } from './limits.ts'

/** The engine of a process that serves many sessions of the dummy file system. `pollTime`: milliseconds. */
export function openEngine(pollTime: number, libc: Libc, log: Logger, onLost: (error: Error) => void): SessionEngine {
  return new SessionEngine({
    libc,
    filesystem: dummyFileSystem,
    startThread: startServingThread,
    pollTime,
    stopTime: FUSED_LIMITS.threadStop,
    say: (kind, id, text) => {
      log.warning(`session ${id}: ${kind === 'trace' ? '' : `${kind}: `}${text}`)
    },
    onLost,
  })
}

/** Whether this kernel can be asked for lost requests again: Linux 6.9 brought FUSE_NOTIFY_RESEND. */
export function kernelResends(): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  return major > 6 || (major === 6 && minor >= 9)
}
