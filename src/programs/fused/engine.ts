import { release } from 'node:os'
import { join } from 'node:path'
import { getAsset, isSea } from 'node:sea'
import type { Worker } from 'node:worker_threads'
import { SessionEngine } from '../../fuse/session/engine.ts'
import type { ThreadData } from '../../fuse/session/thread.ts'
import type { Logger } from '../../log.ts'
import type { Libc } from '../../os/libc.ts'
import { dummyFileSystem } from '../file-systems.ts'
import { FUSED_LIMITS } from './limits.ts'

/** The bundle of boot-thread.ts inside the executable (build.mjs). */
const THREAD_BUNDLE = 'boot-thread.cjs'

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

/** Starts the thread that serves sessions. */
function startServingThread(data: ThreadData): Worker {
  // Loaded only here: by then the first requests have been served.
  const threads = process.getBuiltinModule('node:worker_threads')
  const options = { workerData: data, env: {}, execArgv: [] }
  return isSea()
    ? new threads.Worker(getAsset(THREAD_BUNDLE, 'utf8'), { ...options, eval: true })
    : new threads.Worker(join(import.meta.dirname, '../serving-thread.ts'), options)
}

/** Whether this kernel can be asked for lost requests again: Linux 6.9 brought FUSE_NOTIFY_RESEND. */
export function kernelResends(): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  return major > 6 || (major === 6 && minor >= 9)
}
