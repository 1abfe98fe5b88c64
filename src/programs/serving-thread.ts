import { parentPort, workerData } from 'node:worker_threads'
import { serveInThread, type ThreadData } from '../fuse/session/thread.ts'
import { AddonLoader } from '../os/addons.ts'
import { Libc } from '../os/libc.ts'
import { dummyFileSystem } from './file-systems.ts'

// Where the thread that serves sessions begins; a bundle of its own in the executable.
if (parentPort === null) throw new Error('this is a thread, not a program')
serveInThread(parentPort, workerData as ThreadData, new Libc(new AddonLoader()), dummyFileSystem).catch((error: unknown) => {
  // An exception that nobody catches ends the thread, and its engine gets it (Worker, event 'error').
  setImmediate(() => {
    throw error
  })
})
