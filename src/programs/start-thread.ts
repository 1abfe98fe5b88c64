import { join } from 'node:path'
import { getAsset, isSea } from 'node:sea'
import { Worker } from 'node:worker_threads'
import type { ThreadData } from '../fuse/session/thread.ts'

/** The bundle of boot-thread.ts inside the executable (build.mjs). */
const BUNDLE = 'boot-thread.cjs'

/** Starts the thread that serves sessions. */
export function startServingThread(data: ThreadData): Worker {
  const options = { workerData: data, env: {}, execArgv: [] }
  return isSea()
    ? new Worker(getAsset(BUNDLE, 'utf8'), { ...options, eval: true })
    : new Worker(join(import.meta.dirname, 'serving-thread.ts'), options)
}
