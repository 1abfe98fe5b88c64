import { join } from 'node:path'
import { getAsset, isSea } from 'node:sea'
import type { Worker } from 'node:worker_threads'
import type { ThreadData } from '../fuse/session/thread.ts'

/** The bundle of boot-thread.ts inside the executable (build.mjs). */
const BUNDLE = 'boot-thread.cjs'

/** Starts the thread that serves sessions. */
export function startServingThread(data: ThreadData): Worker {
  // Loaded only here: by then the first requests have been served.
  const threads = process.getBuiltinModule('node:worker_threads')
  const options = { workerData: data, env: {}, execArgv: [] }
  return isSea()
    ? new threads.Worker(getAsset(BUNDLE, 'utf8'), { ...options, eval: true })
    : new threads.Worker(join(import.meta.dirname, 'serving-thread.ts'), options)
}
