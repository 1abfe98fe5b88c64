import { parentPort, workerData } from 'node:worker_threads'
import { serveInThread, type ThreadData } from '../fuse/session/thread.ts'
import { AddonLoader } from '../os/addons.ts'
import { Libc } from '../os/libc.ts'
import { dummyFileSystem } from './file-systems.ts'

// Where the thread that serves sessions begins; a bundle of its own in the executable.
if (parentPort === null) throw new Error('this is a thread, not a program')
void serveInThread(parentPort, workerData as ThreadData, new Libc(new AddonLoader()), dummyFileSystem)
